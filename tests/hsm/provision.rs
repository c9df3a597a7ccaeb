//! Making tokens and keys.

use chancery::hsm::{HsmError, KeyProblem, KeyPurpose, init_token};
use chancery::pki::KeyKind;
use chancery::random::SystemRandom;

use crate::support::{
    LABEL, PIN, SO_PIN, alone, generate, opened, profile, reference, secret, token,
};

#[test]
fn a_label_is_used_once() {
    alone("provision::a_label_is_used_once", |_| {
        token();
        let again = init_token(&profile(), None, LABEL, &secret(SO_PIN), &secret(PIN));
        assert!(again.is_err());
        let other = init_token(&profile(), None, "other", &secret(SO_PIN), &secret(PIN)).unwrap();
        assert_eq!(other.label, "other");
        assert!(!other.serial.is_empty());
    });
}

#[test]
fn a_key_is_never_replaced() {
    alone("provision::a_key_is_never_replaced", |_| {
        let hsm = opened();
        let key = generate(&hsm, KeyKind::P256, "ca", KeyPurpose::CaSign);
        assert_eq!(key.id.len(), 16);
        for (label, id) in [("ca", None), ("other", Some(key.id))] {
            let again =
                hsm.generate_key(KeyKind::P256, label, id, KeyPurpose::CaSign, &SystemRandom);
            let exists = matches!(again, Err(HsmError::Key { problem: KeyProblem::Exists, .. }));
            assert!(exists, "{label}: {again:?}");
        }
    });
}

#[test]
fn kinds_that_do_not_fit_are_refused() {
    alone("provision::kinds_that_do_not_fit_are_refused", |_| {
        let hsm = opened();
        for (kind, purpose) in [
            (KeyKind::Rsa(1024), KeyPurpose::CaSign),
            (KeyKind::Rsa(2049), KeyPurpose::CaSign),
            (KeyKind::P256, KeyPurpose::RaDecrypt),
        ] {
            let made = hsm.generate_key(kind, "key", None, purpose, &SystemRandom);
            let refused = matches!(made, Err(HsmError::Key { problem: KeyProblem::Unfit(_), .. }));
            assert!(refused, "{kind} {purpose}: {made:?}");
        }
    });
}

#[test]
fn bootstrap_signs_without_tokio() {
    alone("provision::bootstrap_signs_without_tokio", |_| {
        let hsm = opened();
        let key = generate(&hsm, KeyKind::P384, "root", KeyPurpose::CaSign);
        let signer = hsm.hsm_signer(&reference(&key, KeyPurpose::CaSign)).unwrap();
        let signature = signer.sign_blocking(b"a certificate").unwrap();
        key.public_key.verify(signer.algorithm(), b"a certificate", &signature).unwrap();
    });
}
