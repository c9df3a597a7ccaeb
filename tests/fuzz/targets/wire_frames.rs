//! The handshake and the frames between the roles.
#![no_main]

use bytes::BytesMut;
use chancery::wire::frame::{self, take};
use chancery::wire::hello::{Hello, LENGTH};
use libfuzzer_sys::fuzz_target;

const MAX_BODY: usize = 4096;

fuzz_target!(|data: &[u8]| {
    if let Some(first) = data.first_chunk::<LENGTH>()
        && let Some(hello) = Hello::from_bytes(*first)
    {
        assert_eq!(hello.to_bytes(), *first);
    }
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(frame)) = take(&mut buffer, MAX_BODY) {
        assert!(frame.body.len() <= MAX_BODY);
        let written = frame::encode(frame.id, frame.kind, &frame.body);
        let mut again = BytesMut::from(written.as_slice());
        assert_eq!(take(&mut again, MAX_BODY).expect("its own encoding"), Some(frame));
    }
});
