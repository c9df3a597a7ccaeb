//! One key on two tokens. SoftHSM does not clone, so a token's folder is copied and the copy gets a
//! serial number and a label of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chancery::cms::KeyTransport;
use chancery::hsm::{
    Hsm, HsmError, HsmOptions, HsmState, KeyProblem, KeyPurpose, TokenSelector, init_token,
    replicas,
};
use chancery::pki::KeyKind;
use chancery::secret::Secret;
use openssl::encrypt::Encrypter;
use openssl::rsa::Padding;

use crate::support::{
    LABEL, PIN, SO_PIN, alone, generate, open, opened, options, profile, reference, secret, wait,
};

const COPY: &str = "chancery copy";

/// `content` with each `from` replaced by `to`, which is as long.
fn replaced(mut content: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = (0..=content.len().saturating_sub(from.len()))
        .filter(|i| content[*i..].starts_with(from.as_bytes()))
        .collect();
    for place in places {
        content[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    content
}

/// Copies the one token in `dir` to the token [`COPY`].
fn clone_token(dir: &Path, serial: &str) {
    let tokens = dir.join("tokens");
    let from = std::fs::read_dir(&tokens).unwrap().next().unwrap().unwrap().path();
    let to = tokens.join("copy");
    std::fs::create_dir(&to).unwrap();
    let other: String = serial.chars().rev().collect();
    assert_ne!(serial, other);
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let mut content = std::fs::read(&path).unwrap();
        if path.ends_with("token.object") {
            content = replaced(replaced(content, serial, &other), LABEL, COPY);
        }
        std::fs::write(to.join(path.file_name().unwrap()), content).unwrap();
    }
}

fn open_as(label: &str) -> Arc<Hsm> {
    Hsm::open(HsmOptions { token: TokenSelector::Label(label.into()), ..options() }).unwrap()
}

#[test]
fn two_tokens_share_the_work_and_one_is_enough() {
    alone("replicas::two_tokens_share_the_work_and_one_is_enough", |dir| {
        let hsm = opened();
        let ca = generate(&hsm, KeyKind::P256, "ca", KeyPurpose::CaSign);
        let ra = generate(&hsm, KeyKind::Rsa(2048), "ra", KeyPurpose::RaDecrypt);
        let serial = hsm.status().token.serial;
        hsm.shutdown();
        drop(hsm);
        clone_token(dir, &serial);
        let (first, second) = (open().unwrap(), open_as(COPY));
        let tokens = [&first, &second];
        let signer = replicas::signer(&tokens, &reference(&ca, KeyPurpose::CaSign)).unwrap();
        let rejection = Secret::new(vec![9; 32]);
        let unwrapper =
            replicas::unwrapper(&tokens, &reference(&ra, KeyPurpose::RaDecrypt), &rejection)
                .unwrap();
        let before = tokens.map(|hsm| hsm.status().operations);
        for i in 0..40u8 {
            wait(signer.sign(vec![i])).unwrap();
        }
        let done = [0, 1].map(|i| tokens[i].status().operations - before[i]);
        assert!(done.iter().all(|n| *n >= 10), "the work is not shared: {done:?}");

        let mut encrypter = Encrypter::new(ra.public_key.openssl().unwrap()).unwrap();
        encrypter.set_rsa_padding(Padding::PKCS1).unwrap();
        let mut wrapped = vec![0; 256];
        let len = encrypter.encrypt(&[7; 16], &mut wrapped).unwrap();
        assert_eq!(len, 256);
        let open_it = |bytes: &[u8]| {
            wait(unwrapper.unwrap(KeyTransport::RsaPkcs1v15, bytes.to_vec(), 16)).unwrap()
        };
        let mut bad = wrapped.clone();
        bad[100] ^= 1;
        let substitute = open_it(&bad);
        for _ in 0..4 {
            assert!(open_it(&wrapped).ct_eq(&[7; 16]));
            assert!(open_it(&bad).ct_eq(substitute.expose()), "one substitute from every token");
        }

        // One token goes away: every signature is made all the same.
        let (there, away) = (dir.join("tokens/copy"), dir.join("away"));
        std::fs::rename(&there, &away).unwrap();
        for i in 0..40u8 {
            wait(signer.sign(vec![i])).unwrap_or_else(|e| panic!("signature {i}: {e}"));
        }
        assert!(matches!(second.status().state, HsmState::Down { .. }));
        assert!(open_it(&wrapped).ct_eq(&[7; 16]));
        std::fs::rename(&away, &there).unwrap();
        let began = Instant::now();
        while second.status().state != HsmState::Up {
            assert!(began.elapsed() < Duration::from_secs(10), "the token is back and not used");
            std::thread::sleep(Duration::from_millis(20));
        }
        wait(signer.sign(vec![1])).unwrap();
        assert_eq!(tokens.map(|hsm| hsm.status().bad_signatures), [0, 0]);
        first.shutdown();
        second.shutdown();
    });
}

#[test]
fn a_replica_with_another_key_is_refused() {
    alone("replicas::a_replica_with_another_key_is_refused", |_| {
        let first = opened();
        let key = generate(&first, KeyKind::P256, "ca", KeyPurpose::CaSign);
        init_token(&profile(), None, "other", &secret(SO_PIN), &secret(PIN)).unwrap();
        let second = open_as("other");
        let asked = reference(&key, KeyPurpose::CaSign);
        let error = replicas::signer(&[&first, &second], &asked).err().unwrap();
        let missing = matches!(
            &error,
            HsmError::Key { token, problem: KeyProblem::NotFound { .. }, .. } if token == "other"
        );
        assert!(missing, "{error}");
        let id = Some(key.id);
        second
            .generate_key(
                KeyKind::P256,
                "ca",
                id,
                KeyPurpose::CaSign,
                &chancery::random::SystemRandom,
            )
            .unwrap();
        let error = replicas::signer(&[&first, &second], &asked).err().unwrap();
        let another = matches!(
            &error,
            HsmError::Key { token, problem: KeyProblem::Mismatch, .. } if token == "other"
        );
        assert!(another, "{error}");
    });
}
