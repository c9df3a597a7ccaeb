//! What HTTP clients make of a message.
#![no_main]

use chancery::scep::transport::{decode_get_message, decode_post_body, percent_decode};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 4096;

fuzz_target!(|data: &[u8]| {
    assert!(percent_decode(data).len() <= data.len());
    if let Ok(message) = decode_post_body(data, LIMIT) {
        assert!(message.len() <= LIMIT);
    }
    if let Ok(raw) = std::str::from_utf8(data)
        && let Ok(message) = decode_get_message(raw, LIMIT)
    {
        assert!(message.len() <= LIMIT);
    }
});
