//! The bodies of those frames, of every protocol and in both directions; the first octet chooses.
#![no_main]

use chancery::wire::{Refusal, admin, frontend};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(body: &[u8]) {
    let Ok(value) = postcard::from_bytes::<T>(body) else { return };
    let written = postcard::to_stdvec(&value).expect("what was read can be written");
    assert_eq!(postcard::from_bytes::<T>(&written).expect("its own encoding"), value);
}

fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = data.split_first() else { return };
    match which % 5 {
        0 => round_trip::<frontend::Request>(body),
        1 => round_trip::<frontend::Response>(body),
        2 => round_trip::<admin::Request>(body),
        3 => round_trip::<admin::Response>(body),
        _ => round_trip::<Refusal>(body),
    }
});
