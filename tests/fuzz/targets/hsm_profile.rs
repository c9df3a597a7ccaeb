//! A vendor's profile: whatever is accepted has threads and a limit for each call.
#![no_main]

use chancery::hsm::Profile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Profile::parse(text) {
        Ok(profile) => {
            assert!(profile.workers(None) > 0 && profile.workers(Some(3)) == 3);
            assert!(!profile.call_timeout().is_zero());
        }
        Err(problem) => assert!(!problem.is_empty()),
    }
});
