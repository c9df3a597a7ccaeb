//! Signatures of every kind of key verify.

use std::path::{Path, PathBuf};

use chancery::hsm::KeyPurpose;
use chancery::pki::{Digest, KeyKind, SignatureAlgorithm};
use chancery::signing::KeyUseError;

use crate::support::{alone, generate, opened, reference, wait};

#[test]
fn every_kind_of_key_signs() {
    alone("signing::every_kind_of_key_signs", |_| {
        let hsm = opened();
        let kinds = [
            KeyKind::Rsa(2048),
            KeyKind::Rsa(3072),
            KeyKind::P256,
            KeyKind::P384,
            KeyKind::P521,
            KeyKind::Ed25519,
        ];
        for kind in kinds {
            let key = generate(&hsm, kind, &format!("ca {kind}"), KeyPurpose::CaSign);
            let signer = hsm.signer(&reference(&key, KeyPurpose::CaSign)).unwrap();
            assert_eq!(signer.algorithm(), kind.default_signature());
            let digests = [Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512];
            let algorithms: Vec<_> = match kind {
                KeyKind::Rsa(_) => digests
                    .into_iter()
                    .flat_map(|d| [SignatureAlgorithm::RsaPkcs1(d), SignatureAlgorithm::RsaPss(d)])
                    .collect(),
                KeyKind::Ed25519 => vec![SignatureAlgorithm::Ed25519],
                _ => digests.into_iter().map(SignatureAlgorithm::Ecdsa).collect(),
            };
            for algorithm in algorithms {
                for message in [&b""[..], b"a message", &[7; 5000]] {
                    let signature = wait(signer.sign_with(algorithm, message.to_vec())).unwrap();
                    let verified = key.public_key.verify(algorithm, message, &signature);
                    assert_eq!(verified, Ok(()), "{kind} {algorithm:?}");
                }
            }
        }
        let status = hsm.status();
        assert_eq!((status.errors, status.bad_signatures, status.busy), (0, 0, 0));
        hsm.shutdown();
    });
}

#[test]
fn an_algorithm_of_another_kind_is_refused() {
    alone("signing::an_algorithm_of_another_kind_is_refused", |_| {
        let hsm = opened();
        let key = generate(&hsm, KeyKind::P256, "ca", KeyPurpose::CaSign);
        let signer = hsm.signer(&reference(&key, KeyPurpose::CaSign)).unwrap();
        let wrong = SignatureAlgorithm::RsaPkcs1(Digest::Sha256);
        let result = wait(signer.sign_with(wrong, vec![1]));
        assert!(matches!(result, Err(KeyUseError::Refused(_))), "{result:?}");
    });
}

#[test]
fn many_callers_at_once() {
    alone("signing::many_callers_at_once", |_| {
        let hsm = opened();
        let key = generate(&hsm, KeyKind::P256, "ca", KeyPurpose::CaSign);
        let signer = hsm.signer(&reference(&key, KeyPurpose::CaSign)).unwrap();
        let threads: Vec<_> = (0..8u8)
            .map(|caller| {
                let signer = std::sync::Arc::clone(&signer);
                std::thread::spawn(move || {
                    wait(async {
                        for i in 0..50u8 {
                            signer.sign(vec![caller, i]).await.unwrap();
                        }
                    });
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(hsm.status().operations >= 400);
    });
}

#[test]
fn after_the_shutdown_nothing_is_signed() {
    alone("signing::after_the_shutdown_nothing_is_signed", |_| {
        let hsm = opened();
        let key = generate(&hsm, KeyKind::P256, "ca", KeyPurpose::CaSign);
        let signer = hsm.signer(&reference(&key, KeyPurpose::CaSign)).unwrap();
        hsm.shutdown();
        let result = wait(signer.sign(vec![1]));
        assert!(matches!(result, Err(KeyUseError::Unavailable(_))), "{result:?}");
    });
}

#[test]
fn a_signature_of_another_key_is_discarded() {
    alone("signing::a_signature_of_another_key_is_discarded", |dir| {
        let hsm = opened();
        let key = generate(&hsm, KeyKind::P256, "ca", KeyPurpose::CaSign);
        let files = objects(dir);
        let signer = hsm.signer(&reference(&key, KeyPurpose::CaSign)).unwrap();
        for _ in 0..8 {
            wait(signer.sign(vec![1])).unwrap();
        }
        generate(&hsm, KeyKind::P256, "other", KeyPurpose::CaSign);
        let new: Vec<_> = objects(dir).into_iter().filter(|f| !files.contains(f)).collect();
        // Behind the handles that the threads have the other key now stands, as after a fault.
        for (mine, other) in largest(&files).into_iter().zip(largest(&new)) {
            let mut content = std::fs::read(other).unwrap();
            // The object's own counter of changes: SoftHSM reads it again when that differs.
            content[..8].copy_from_slice(&1000u64.to_be_bytes());
            std::fs::write(mine, content).unwrap();
        }
        let result = wait(signer.sign(vec![1]));
        assert_eq!(result, Err(KeyUseError::BadSignature));
        assert_eq!(hsm.status().bad_signatures, 2, "tried on two threads");
    });
}

/// The object files of the one token.
fn objects(dir: &Path) -> Vec<PathBuf> {
    let token = std::fs::read_dir(dir.join("tokens")).unwrap().next().unwrap().unwrap().path();
    let all = std::fs::read_dir(token).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|p| p.extension().is_some_and(|e| e == "object") && !p.ends_with("token.object"))
        .collect()
}

/// The private key's file: it is longer than the public key's.
fn largest(files: &[PathBuf]) -> Option<PathBuf> {
    files.iter().max_by_key(|f| f.metadata().unwrap().len()).cloned()
}
