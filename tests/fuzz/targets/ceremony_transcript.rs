//! A ceremony's transcript, and the messages that ceremonies exchange.
#![no_main]

use chancery::ceremony::exchange;
use chancery::ceremony::transcript::{Level, Transcript, redact};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = exchange::read(data);
    let Ok((transcript, _)) = Transcript::read(data) else { return };
    let public = redact(&transcript, Level::Public).expect("what was read can be written");
    let (again, _) = Transcript::read(public.as_bytes()).expect("a redacted transcript");
    assert_eq!(again.head(), transcript.head(), "redaction changes the fingerprint");
});
