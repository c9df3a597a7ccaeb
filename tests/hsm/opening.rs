//! Finding the token and the keys, and logging in.

use chancery::hsm::{Hsm, HsmError, HsmOptions, KeyProblem, KeyPurpose, TokenSelector, init_token};
use chancery::pki::KeyKind;

use crate::support::{
    LABEL, PIN, SO_PIN, alone, generate, open, opened, options, profile, reference, secret, token,
};

#[test]
fn a_token_is_found_by_label_or_serial_number() {
    alone("opening::a_token_is_found_by_label_or_serial_number", |_| {
        token();
        let other = init_token(&profile(), None, "other", &secret(SO_PIN), &secret(PIN)).unwrap();
        let by_label = open().unwrap();
        assert_eq!(by_label.status().token.label, LABEL);
        let selector = TokenSelector::Serial(other.serial.clone());
        let by_serial = Hsm::open(HsmOptions { token: selector, ..options() }).unwrap();
        assert_eq!(by_serial.status().token, other);
        let selector = TokenSelector::Label("nothing".into());
        let error =
            Hsm::open(HsmOptions { token: selector, ..options() }).err().unwrap().to_string();
        assert!(error.contains("\"nothing\"") && error.contains(LABEL), "{error}");
        assert!(error.contains(&other.serial), "{error}");
    });
}

#[test]
fn two_tokens_with_one_label_are_an_error() {
    alone("opening::two_tokens_with_one_label_are_an_error", |_| {
        token();
        // Another tool may do what ours refuses.
        let status = std::process::Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", LABEL, "--so-pin", SO_PIN, "--pin", PIN])
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
        let error = open().err().unwrap();
        assert!(matches!(error, HsmError::TokenAmbiguous { .. }), "{error}");
        assert!(error.to_string().contains("serial number"), "{error}");
    });
}

#[test]
fn a_wrong_pin_is_said_and_not_shown() {
    alone("opening::a_wrong_pin_is_said_and_not_shown", |_| {
        token();
        let wrong = HsmOptions { pin: secret("7654321"), ..options() };
        let error = Hsm::open(wrong).err().unwrap();
        assert!(matches!(error, HsmError::PinRefused { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("CKR_PIN_INCORRECT") && !text.contains("7654321"), "{text}");
        open().unwrap();
    });
}

#[test]
fn a_key_must_be_the_certificates() {
    alone("opening::a_key_must_be_the_certificates", |_| {
        let hsm = opened();
        for kind in [KeyKind::Rsa(2048), KeyKind::P256, KeyKind::Ed25519] {
            let key = generate(&hsm, kind, &format!("one {kind}"), KeyPurpose::CaSign);
            let other = generate(&hsm, kind, &format!("two {kind}"), KeyPurpose::CaSign);
            let mut asked = reference(&key, KeyPurpose::CaSign);
            hsm.signer(&asked).unwrap();
            asked.public_key = other.public_key;
            let error = hsm.signer(&asked).err().unwrap();
            let mismatch = matches!(error, HsmError::Key { problem: KeyProblem::Mismatch, .. });
            assert!(mismatch, "{kind}: {error}");
        }
    });
}

#[test]
fn a_key_must_be_there_alone() {
    alone("opening::a_key_must_be_there_alone", |_| {
        let hsm = opened();
        let key = generate(&hsm, KeyKind::P256, "ca", KeyPurpose::CaSign);
        let mut asked = reference(&key, KeyPurpose::CaSign);
        asked.id = None;
        hsm.signer(&asked).unwrap();
        asked.label = "cb".into();
        let error = hsm.signer(&asked).err().unwrap().to_string();
        assert!(error.contains("\"cb\"") && error.contains(&hex::encode(&key.id)), "{error}");
        asked.label = "ca".into();
        let status = std::process::Command::new("pkcs11-tool")
            .args(["--module", &profile().module_path(None).unwrap().display().to_string()])
            .args(["--token-label", LABEL, "--login", "--pin", PIN, "--keypairgen"])
            .args(["--key-type", "EC:secp256r1", "--label", "ca", "--id", "77"])
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
        let error = hsm.signer(&asked).err().unwrap();
        let ambiguous =
            matches!(error, HsmError::Key { problem: KeyProblem::Ambiguous { count: 2 }, .. });
        assert!(ambiguous, "{error}");
        asked.id = Some(key.id);
        hsm.signer(&asked).unwrap();
    });
}
