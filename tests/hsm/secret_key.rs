//! Secrets that a token derives: the same at each start, other ones of another key, and of no key that
//! could leave the token or do more.

use std::process::Command;

use chancery::hsm::{HsmError, KeyProblem};

use crate::support::{LABEL, PIN, alone, open, opened, profile};

#[test]
fn the_same_secret_at_each_start_and_no_other_one() {
    alone("secret_key::the_same_secret_at_each_start_and_no_other_one", |_| {
        let derived = |hsm: &chancery::hsm::Hsm, label: &str, context: &[u8]| {
            hsm.derived_secret(label, context).unwrap().expose().to_vec()
        };
        let hsm = opened();
        let first = derived(&hsm, "seal", b"one");
        assert_eq!(first.len(), 32);
        assert!(hsm.warnings().is_empty(), "{:?}", hsm.warnings());
        assert_ne!(derived(&hsm, "seal", b"two"), first);
        assert_ne!(derived(&hsm, "other", b"one"), first);
        assert!(hsm.shutdown());
        drop(hsm);
        assert_eq!(derived(&open().unwrap(), "seal", b"one"), first);
    });
}

#[test]
fn a_key_that_can_leave_the_token_derives_nothing() {
    alone("secret_key::a_key_that_can_leave_the_token_derives_nothing", |_| {
        let hsm = opened();
        let mut tool = Command::new("pkcs11-tool");
        tool.arg("--module").arg(profile().module_path(None).unwrap());
        tool.args(["--token-label", LABEL, "--login", "--pin", PIN, "--keygen"]);
        tool.args(["--key-type", "GENERIC:32", "--extractable", "--label", "seal"]);
        let output = tool.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let refused = hsm.derived_secret("seal", b"one").unwrap_err();
        let HsmError::Key { problem: KeyProblem::Attributes { deviations }, .. } = &refused else {
            panic!("{refused}");
        };
        assert!(deviations.iter().any(|d| d.to_string() == "CKA_EXTRACTABLE is true"), "{refused}");
    });
}
