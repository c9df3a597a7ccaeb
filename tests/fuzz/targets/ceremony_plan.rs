//! A ceremony's plan, and what its papers are typed back from.
#![no_main]

use chancery::ceremony::{plan, shares, words};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(problems) = plan::load(text) {
        assert!(!problems.is_empty());
    }
    let lines: Vec<&str> = text.lines().take(64).collect();
    let _ = shares::read(&lines);
    if let Ok(bytes) = words::bytes(text) {
        assert_eq!(words::bytes(&words::words(&bytes)), Ok(bytes));
    }
});
