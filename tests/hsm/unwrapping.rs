//! Key transport: good ciphertexts open, bad ones give a substitute and never an error (I7).

use std::sync::Arc;

use chancery::cms::KeyTransport;
use chancery::hsm::{
    GeneratedKey, Hsm, HsmError, HsmOptions, HsmState, KeyProblem, KeyPurpose, Profile,
};
use chancery::pki::{Digest, KeyKind};
use chancery::secret::Secret;
use chancery::signing::{KeyUnwrapper, KeyUseError};
use openssl::encrypt::Encrypter;
use openssl::rsa::Padding;

use crate::support::{alone, generate, opened, options, reference, token, wait};

const TRANSPORTS: [KeyTransport; 4] = [
    KeyTransport::RsaPkcs1v15,
    KeyTransport::RsaOaep(Digest::Sha1),
    KeyTransport::RsaOaep(Digest::Sha256),
    KeyTransport::RsaOaep(Digest::Sha512),
];

fn encrypt(key: &GeneratedKey, transport: KeyTransport, content: &[u8]) -> Vec<u8> {
    let mut encrypter = Encrypter::new(key.public_key.openssl().unwrap()).unwrap();
    match transport {
        KeyTransport::RsaPkcs1v15 => encrypter.set_rsa_padding(Padding::PKCS1).unwrap(),
        KeyTransport::RsaOaep(digest) => {
            encrypter.set_rsa_padding(Padding::PKCS1_OAEP).unwrap();
            encrypter.set_rsa_oaep_md(digest.openssl()).unwrap();
            encrypter.set_rsa_mgf1_md(digest.openssl()).unwrap();
        }
    }
    let mut out = vec![0; encrypter.encrypt_len(content).unwrap()];
    let len = encrypter.encrypt(content, &mut out).unwrap();
    out.truncate(len);
    out
}

fn unwrapper(hsm: &Hsm, key: &GeneratedKey) -> Arc<dyn KeyUnwrapper> {
    hsm.unwrapper(&reference(key, KeyPurpose::RaDecrypt), Secret::new(vec![9; 32])).unwrap()
}

#[test]
fn good_ciphertexts_open() {
    alone("unwrapping::good_ciphertexts_open", |_| {
        let hsm = opened();
        for bits in [2048, 3072, 4096] {
            let key =
                generate(&hsm, KeyKind::Rsa(bits), &format!("ra {bits}"), KeyPurpose::RaDecrypt);
            let unwrapper = unwrapper(&hsm, &key);
            for transport in TRANSPORTS {
                for len in [8, 16, 24, 32] {
                    let content = vec![0x5a; len];
                    let encrypted = encrypt(&key, transport, &content);
                    let opened = wait(unwrapper.unwrap(transport, encrypted, len)).unwrap();
                    assert!(opened.ct_eq(&content), "{transport:?} {len}");
                }
            }
        }
    });
}

#[test]
fn bad_ciphertexts_give_the_same_substitute_each_time() {
    alone("unwrapping::bad_ciphertexts_give_the_same_substitute_each_time", |_| {
        let hsm = opened();
        let key = generate(&hsm, KeyKind::Rsa(2048), "ra", KeyPurpose::RaDecrypt);
        let unwrapper = unwrapper(&hsm, &key);
        let modulus = key.public_key.rsa().unwrap().n().to_vec();
        let content = [0x5a; 32];
        for transport in TRANSPORTS {
            let good = encrypt(&key, transport, &content);
            let mut tampered = good.clone();
            tampered[100] ^= 1;
            let mut one = vec![0; 256];
            one[255] = 1;
            let bad = [
                ("tampered", tampered),
                ("another length inside", encrypt(&key, transport, &content[..16])),
                ("too short", good[1..].to_vec()),
                ("too long", [&[0][..], &good].concat()),
                ("empty", Vec::new()),
                ("the modulus", modulus.clone()),
                ("above the modulus", vec![0xff; 256]),
                ("zero", vec![0; 256]),
                ("one", one),
            ];
            let mut seen = Vec::new();
            for (what, ciphertext) in bad {
                let first = wait(unwrapper.unwrap(transport, ciphertext.clone(), 32)).unwrap();
                let second = wait(unwrapper.unwrap(transport, ciphertext, 32)).unwrap();
                assert_eq!(first.len(), 32, "{what}");
                assert!(first.ct_eq(second.expose()), "{what}");
                assert!(!first.ct_eq(&content), "{what}");
                assert!(!seen.contains(&first.expose().to_vec()), "{what}");
                seen.push(first.expose().to_vec());
            }
        }
        assert_eq!(hsm.status().errors, 0);
    });
}

#[test]
fn only_rsa_keys_that_decrypt_are_taken() {
    alone("unwrapping::only_rsa_keys_that_decrypt_are_taken", |_| {
        let hsm = opened();
        let key = generate(&hsm, KeyKind::Rsa(2048), "ca", KeyPurpose::CaSign);
        let asked = reference(&key, KeyPurpose::RaDecrypt);
        let error = hsm.unwrapper(&asked, Secret::new(vec![9; 32])).err().unwrap();
        let HsmError::Key { problem: KeyProblem::Attributes { .. }, .. } = &error else {
            panic!("{error}");
        };
        let text = error.to_string();
        assert!(
            text.contains("CKA_SIGN is true") && text.contains("CKA_DECRYPT is false"),
            "{text}"
        );
        let asked = reference(&key, KeyPurpose::CaSign);
        assert!(hsm.unwrapper(&asked, Secret::new(vec![9; 32])).is_err());
        assert!(
            hsm.unwrapper(&reference(&key, KeyPurpose::RaDecrypt), Secret::new(vec![9; 8]))
                .is_err()
        );
    });
}

#[test]
fn a_module_that_undoes_the_padding_itself_shows_no_difference() {
    alone("unwrapping::a_module_that_undoes_the_padding_itself_shows_no_difference", |dir| {
        token();
        let toml = include_str!("../../pkcs11-profiles/softhsm2.toml")
            .replace("rsa_decrypt = \"raw\"", "rsa_decrypt = \"pkcs1\"\nrsa_decrypt_floor_ms = 30")
            .replace("oaep_hashes = []", "oaep_hashes = [\"SHA-1\"]");
        let path = dir.join("pkcs1.toml");
        std::fs::write(&path, toml).unwrap();
        let profile = Profile::load(path.to_str().unwrap()).unwrap();
        let hsm = Hsm::open(HsmOptions { profile, ..options() }).unwrap();
        let key = generate(&hsm, KeyKind::Rsa(2048), "ra", KeyPurpose::RaDecrypt);
        let unwrapper = unwrapper(&hsm, &key);
        let content = [0x5a; 16];
        for transport in [KeyTransport::RsaPkcs1v15, KeyTransport::RsaOaep(Digest::Sha1)] {
            let good = encrypt(&key, transport, &content);
            let opened = wait(unwrapper.unwrap(transport, good.clone(), 16)).unwrap();
            assert!(opened.ct_eq(&content), "{transport:?}");
            let mut tampered = good.clone();
            tampered[100] ^= 1;
            let longer = encrypt(&key, transport, &[0x5a; 17]);
            for bad in [tampered, longer, good[1..].to_vec(), vec![0xff; 256]] {
                let began = std::time::Instant::now();
                let first = wait(unwrapper.unwrap(transport, bad.clone(), 16)).unwrap();
                assert!(began.elapsed().as_millis() >= 30);
                let second = wait(unwrapper.unwrap(transport, bad, 16)).unwrap();
                assert_eq!(first.len(), 16);
                assert!(first.ct_eq(second.expose()) && !first.ct_eq(&content));
            }
        }
        let refused =
            wait(unwrapper.unwrap(KeyTransport::RsaOaep(Digest::Sha256), vec![1; 256], 16));
        assert!(matches!(refused, Err(KeyUseError::Refused(_))), "{refused:?}");
        let status = hsm.status();
        assert_eq!((status.state, status.errors), (HsmState::Up, 0));
        // SoftHSM has no OAEP with SHA-256, and a profile that claims it does not get far.
        let claim = std::fs::read_to_string(&path).unwrap().replace("\"SHA-1\"", "\"SHA-256\"");
        std::fs::write(&path, claim).unwrap();
        let profile = Profile::load(path.to_str().unwrap()).unwrap();
        let hsm = Hsm::open(HsmOptions { profile, ..options() }).unwrap();
        let asked = reference(&key, KeyPurpose::RaDecrypt);
        let error = hsm.unwrapper(&asked, Secret::new(vec![9; 32])).err().unwrap();
        let failed = matches!(error, HsmError::Key { problem: KeyProblem::SelfTest(_), .. });
        assert!(failed, "{error}");
    });
}
