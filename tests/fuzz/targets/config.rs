//! The configuration: every error has a place in the file, and nothing but text brings one about.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(errors) = chancery::config::parse(Path::new("/etc/chancery/chancery.toml"), text) {
        assert!(!errors.is_empty());
        for error in errors {
            // A text that ends too early is wrong on the line after its last.
            assert!(error.line <= text.lines().count() + 1, "{error}");
        }
    }
});
