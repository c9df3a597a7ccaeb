//! The look at an unknown module, on SoftHSM.

use chancery::hsm::{Hsm, HsmError, HsmOptions, KeyPurpose, Profile, probe};
use chancery::pki::KeyKind;
use chancery::secret::Secret;

use crate::support::{PIN, alone, generate, opened, options, profile, reference, secret};

#[test]
fn what_a_probe_writes_is_a_profile_that_works() {
    alone("probing::what_a_probe_writes_is_a_profile_that_works", |dir| {
        let hsm = opened();
        generate(&hsm, KeyKind::P256, "ca", KeyPurpose::CaSign);
        hsm.shutdown();
        drop(hsm);
        let module = profile().module_path(None).unwrap();
        let probed = probe(&module, None, Some(&secret(PIN))).unwrap();
        let text = probed.findings.join("\n");
        for expected in [
            "mechanism: CKM_RSA_PKCS ",
            "sessions opened: more than 64",
            "C_Decrypt, CKM_RSA_X_509: CKR_OK",
            "CKM_RSA_PKCS, good padding: CKR_OK (16 bytes)",
            "CKM_RSA_PKCS, bad padding: CKR_GENERAL_ERROR",
            "handles after a new login: others",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        let path = dir.join("draft.toml");
        std::fs::write(&path, &probed.draft).unwrap();
        let profile = Profile::load(path.to_str().unwrap()).unwrap();
        let hsm = Hsm::open(HsmOptions { profile, ..options() }).unwrap();
        let key = generate(&hsm, KeyKind::Rsa(2048), "ra", KeyPurpose::RaDecrypt);
        hsm.unwrapper(&reference(&key, KeyPurpose::RaDecrypt), Secret::new(vec![9; 32])).unwrap();
        drop(hsm);

        let without = probe(&module, None, None).unwrap();
        assert!(without.findings.iter().any(|f| f.contains("needs a PIN")));
        let error = probe(&module, None, Some(&secret("7654321"))).unwrap_err();
        assert!(matches!(error, HsmError::PinRefused { .. }), "{error}");
    });
}
