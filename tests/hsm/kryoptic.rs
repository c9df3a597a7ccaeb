//! A second, independent PKCS#11 module: Kryoptic, which `make kryoptic` builds from tests/kryoptic.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery::clock::{Clock as _, SystemClock};
use chancery::cms::KeyTransport;
use chancery::hsm::{
    GeneratedKey, Hsm, HsmError, HsmOptions, HsmState, KeyPurpose, Profile, TokenSelector,
    init_token, probe,
};
use chancery::issuance::Issuer;
use chancery::issuance::bootstrap::{Authority, CaTerms, RaRole, Subject, self_signed_ca};
use chancery::pki::{KeyKind, MlDsa};
use chancery::random::SystemRandom;
use chancery::secret::Secret;
use cryptoki::context::Pkcs11;
use openssl::encrypt::Encrypter;
use openssl::rsa::Padding;
use softhsm_test::client::{Csr, Device};
use softhsm_test::instance::{Instance, Options};

use crate::support::{LABEL, PIN, SO_PIN, alone, generate, reference, secret, wait};

fn module() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = root.join("target/kryoptic/debug/libkryoptic_pkcs11.so");
    assert!(built.is_file(), "{} is not there; `make kryoptic` builds it", built.display());
    built
}

fn options() -> HsmOptions {
    HsmOptions {
        profile: Profile::load("kryoptic").unwrap(),
        module: Some(module()),
        token: TokenSelector::Label(LABEL.into()),
        pin: secret(PIN),
        workers: Some(2),
        lab: false,
    }
}

fn token() {
    let profile = Profile::load("kryoptic").unwrap();
    init_token(&profile, Some(&module()), LABEL, &secret(SO_PIN), &secret(PIN)).unwrap();
}

#[test]
fn keys_are_made_found_and_used() {
    alone("kryoptic::keys_are_made_found_and_used", |_| {
        token();
        let hsm = Hsm::open(options()).unwrap();
        let classical = [KeyKind::P256, KeyKind::P384, KeyKind::Rsa(2048), KeyKind::Ed25519];
        for kind in classical.into_iter().chain(MlDsa::ALL.map(KeyKind::MlDsa)) {
            let key = generate(&hsm, kind, &format!("ca {kind}"), KeyPurpose::CaSign);
            let signer = hsm.signer(&reference(&key, KeyPurpose::CaSign)).unwrap();
            for message in [&b""[..], b"a message", &[7; 5000]] {
                let signature = wait(signer.sign(message.to_vec())).unwrap();
                key.public_key.verify(signer.algorithm(), message, &signature).unwrap();
            }
        }
        let key = generate(&hsm, KeyKind::Rsa(2048), "ra", KeyPurpose::RaDecrypt);
        let asked = reference(&key, KeyPurpose::RaDecrypt);
        let unwrapper = hsm.unwrapper(&asked, Secret::new(vec![9; 32])).unwrap();
        let mut encrypter = Encrypter::new(key.public_key.openssl().unwrap()).unwrap();
        encrypter.set_rsa_padding(Padding::PKCS1).unwrap();
        let mut good = vec![0; 256];
        encrypter.encrypt(&[7; 16], &mut good).unwrap();
        let open =
            |bytes: Vec<u8>| wait(unwrapper.unwrap(KeyTransport::RsaPkcs1v15, bytes, 16)).unwrap();
        assert!(open(good.clone()).ct_eq(&[7; 16]));
        let mut tampered = good.clone();
        tampered[100] ^= 1;
        for bad in [tampered, good[1..].to_vec(), vec![0xff; 256]] {
            let first = open(bad.clone());
            assert!(open(bad).ct_eq(first.expose()) && !first.ct_eq(&[7; 16]));
        }
        assert_eq!((hsm.status().state, hsm.status().errors), (HsmState::Up, 0));
        hsm.shutdown();
        // Found again by another login.
        let again = Hsm::open(options()).unwrap();
        again.unwrapper(&asked, Secret::new(vec![9; 32])).unwrap();
        again.shutdown();
    });
}

#[test]
fn a_finalised_module_is_healed_unseen() {
    alone("kryoptic::a_finalised_module_is_healed_unseen", |_| {
        token();
        let hsm = Hsm::open(options()).unwrap();
        let key = generate(&hsm, KeyKind::P256, "ca", KeyPurpose::CaSign);
        let signer = hsm.signer(&reference(&key, KeyPurpose::CaSign)).unwrap();
        for _ in 0..3 {
            Pkcs11::new(module()).unwrap().finalize().unwrap();
            wait(signer.sign(vec![1])).unwrap();
            wait(signer.sign(vec![2])).unwrap();
        }
        assert_eq!(hsm.status().errors, 0);
    });
}

#[test]
fn a_wrong_pin_is_tried_once() {
    alone("kryoptic::a_wrong_pin_is_tried_once", |_| {
        token();
        let wrong = HsmOptions { pin: secret("7654321"), ..options() };
        let error = Hsm::open(wrong).err().unwrap();
        assert!(matches!(error, HsmError::PinRefused { .. }), "{error}");
        Hsm::open(options()).unwrap();
    });
}

#[test]
fn a_probe_drafts_a_profile() {
    alone("kryoptic::a_probe_drafts_a_profile", |dir| {
        token();
        let probed = probe(&module(), None, Some(&secret(PIN))).unwrap();
        let path = dir.join("draft.toml");
        std::fs::write(&path, &probed.draft).unwrap();
        let profile = Profile::load(path.to_str().unwrap()).unwrap();
        let text = probed.findings.join("\n");
        assert!(text.contains("CKM_RSA_PKCS, bad padding: CKR_OK"), "{text}");
        let hsm = Hsm::open(HsmOptions { profile, ..options() }).unwrap();
        let key = generate(&hsm, KeyKind::Rsa(2048), "ra", KeyPurpose::RaDecrypt);
        hsm.unwrapper(&reference(&key, KeyPurpose::RaDecrypt), Secret::new(vec![9; 32])).unwrap();
    });
}

/// The CA and its RA in Kryoptic, and their certificates over those of a laboratory.
fn authority(instance: &Instance) -> Vec<(&'static str, GeneratedKey)> {
    let hsm = Hsm::open(options()).unwrap();
    let make = |kind, label, purpose| generate(&hsm, kind, label, purpose);
    let root = make(KeyKind::P256, "root", KeyPurpose::CaSign);
    let ca = make(KeyKind::P256, "issuing-ca", KeyPurpose::CaSign);
    let decryption = make(KeyKind::Rsa(2048), "ra-decryption", KeyPurpose::RaDecrypt);
    let signing = make(KeyKind::Rsa(2048), "ra-signing", KeyPurpose::RaSign);

    let now = SystemClock.now().before(Duration::from_secs(86_400));
    let subject =
        |what: &str| Subject { common_name: format!("Kryoptic {what}"), ..Subject::default() };
    let terms = |days: u64, path_len| CaTerms {
        validity: Duration::from_secs(days * 86_400),
        path_len,
        crl_urls: Vec::new(),
        ca_issuer_urls: Vec::new(),
    };
    let signer = |key| hsm.hsm_signer(&reference(key, KeyPurpose::CaSign)).unwrap();
    let (root_key, ca_key) = (signer(&root), signer(&ca));
    let random = &SystemRandom;
    let root =
        self_signed_ca(&subject("Root"), &terms(900, Some(1)), &root_key, random, now).unwrap();
    let algorithm = root.public_key().kind().default_signature();
    let issuer = Issuer::new("root", root.clone(), Vec::new(), algorithm).unwrap();
    let above = Authority::new(&issuer, &root_key).unwrap();
    let issuing =
        above.issue_ca(&subject("CA"), &ca.public_key, &terms(800, Some(0)), random, now).unwrap();
    let issuer = Issuer::new("issuing", issuing.clone(), vec![root.clone()], algorithm).unwrap();
    let of_ca = Authority::new(&issuer, &ca_key).unwrap();
    let ra = |role, what, key: &GeneratedKey| {
        of_ca
            .issue_ra(role, &subject(what), &key.public_key, &terms(700, None), random, now)
            .unwrap()
    };
    for (name, certificate) in [
        ("root", &root),
        ("issuing", &issuing),
        ("ra-decryption", &ra(RaRole::Decryption, "RA Decryption", &decryption)),
        ("ra-signing", &ra(RaRole::Signing, "RA Signing", &signing)),
    ] {
        let path = instance.folder().join(format!("certificates/{name}.pem"));
        fs::write(path, certificate.to_pem()).unwrap();
    }
    hsm.shutdown();
    vec![("issuing-ca", ca), ("ra-decryption", decryption), ("ra-signing", signing)]
}

#[test]
fn a_device_enrols_where_ca_and_ra_are_in_kryoptic() {
    alone("kryoptic::a_device_enrols_where_ca_and_ra_are_in_kryoptic", |dir| {
        token();
        // The laboratory's own token keeps the ledger's key: Kryoptic has no Ed25519 on OpenSSL 3.0.
        let mut instance = Instance::create(&Options::default()).unwrap();
        let keys = authority(&instance);
        let pin = instance.folder().join("kryoptic-pin");
        fs::write(&pin, PIN).unwrap();
        fs::set_permissions(&pin, Permissions::from_mode(0o600)).unwrap();
        let place =
            |label: &str, token: &str| format!("{{ token = \"{token}\", label = \"{label}\"");
        let edit = |mut text: String| {
            for (label, key) in &keys {
                let at = text.find(&place(label, "main")).unwrap();
                let end = at + text[at..].find('}').unwrap();
                let new =
                    format!("{}, id = \"{}\" ", place(label, "kryoptic"), hex::encode(&key.id));
                text.replace_range(at..end, &new);
            }
            let conf = dir.join("kryoptic.conf");
            text + &format!(
                "\n[token.kryoptic]\nprofile = \"kryoptic\"\nmodule = {:?}\nlabel = \"{LABEL}\"\n\
                 pin_file = \"kryoptic-pin\"\nenvironment = {{ KRYOPTIC_CONF = {conf:?} }}\n",
                module()
            )
        };
        instance.configure(edit).unwrap();
        instance.start().unwrap();
        let server = instance.server().unwrap();
        for name in ["first", "second"] {
            let device = Device::new(name).unwrap();
            let reply = server.enrol(&device, name, &instance.challenge).unwrap();
            instance.verify(reply.certificate().unwrap()).unwrap();
            // To this it answers CKR_DEVICE_ERROR; that must not count as the loss of the HSM.
            let csr = Csr::new("bad").challenge(&instance.challenge).build(&device.key).unwrap();
            let mut bad = server.draft(&device, "19", csr).unwrap();
            bad.envelope.as_mut().unwrap().encrypted_key = Some(vec![5; 256]);
            assert_eq!(server.send(&device, &bad).unwrap().failure().unwrap(), (2, None));
        }
        let said = instance.ask(&["hsm", "status", "--json"]).unwrap();
        let hsms: serde_json::Value = serde_json::from_str(&said).unwrap();
        let hsms = hsms.as_array().unwrap().iter();
        let kryoptic = hsms.clone().find(|h| h["name"] == "kryoptic").unwrap();
        assert!(kryoptic["operations"].as_u64().unwrap() >= 8, "{said}");
        assert_eq!(
            (&kryoptic["errors"], &kryoptic["problem"]),
            (&0.into(), &serde_json::Value::Null)
        );
        instance.ask(&["hsm", "selftest"]).unwrap();
        instance.ask(&["crl", "now"]).unwrap();
        instance.ask(&["ledger", "verify"]).unwrap();
    });
}
