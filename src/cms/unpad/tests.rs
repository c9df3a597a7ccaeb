use openssl::encrypt::Encrypter;
use openssl::rsa::Padding;
use proptest::prelude::*;

use super::super::testing::ra;
use super::*;

const SUBSTITUTE: [u8; 16] = [0x5b; 16];
const KEY: [u8; 16] = *b"sixteen-byte-key";

fn substitute() -> Secret {
    Secret::new(SUBSTITUTE.to_vec())
}

/// A block of 256 octets for `KEY` as RFC 8017 section 7.2.1 has it.
fn v15_block() -> Vec<u8> {
    [&[0, 2], [0xa5; 256 - 3 - 16].as_slice(), &[0], &KEY].concat()
}

fn v15(em: &[u8]) -> Vec<u8> {
    pkcs1_v15(em, 16, &substitute()).expose().to_vec()
}

/// A block for `KEY` as RFC 8017 section 7.1.1 has it, with the data block changed by `change`.
fn oaep_block(digest: Digest, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let label = digest.hash(b"").unwrap();
    let filler = vec![0; 256 - 2 - 2 * label.len() - KEY.len()];
    let mut db = [label.as_slice(), &filler, &[1], &KEY].concat();
    change(&mut db);
    let mut seed = vec![0x3c; label.len()];
    let mask = mgf1(&seed, db.len(), digest).unwrap();
    xor(&mut db, &mask);
    let mask = mgf1(&db, seed.len(), digest).unwrap();
    xor(&mut seed, &mask);
    [&[0], seed.as_slice(), &db].concat()
}

fn oaep16(em: &[u8], digest: Digest) -> Vec<u8> {
    oaep(em, digest, 16, &substitute()).unwrap().expose().to_vec()
}

#[test]
fn takes_off_what_openssl_puts_on() {
    let public = ra().certificate.public_key().openssl().unwrap();
    for (padding, digest) in [
        (Padding::PKCS1, None),
        (Padding::PKCS1_OAEP, Some(Digest::Sha1)),
        (Padding::PKCS1_OAEP, Some(Digest::Sha256)),
        (Padding::PKCS1_OAEP, Some(Digest::Sha384)),
        (Padding::PKCS1_OAEP, Some(Digest::Sha512)),
    ] {
        for key_len in [8, 16, 24, 32] {
            let key = vec![0xc3; key_len];
            let mut encrypter = Encrypter::new(public).unwrap();
            encrypter.set_rsa_padding(padding).unwrap();
            if let Some(digest) = digest {
                encrypter.set_rsa_oaep_md(digest.openssl()).unwrap();
                encrypter.set_rsa_mgf1_md(digest.openssl()).unwrap();
            }
            let mut ciphertext = vec![0; encrypter.encrypt_len(&key).unwrap()];
            encrypter.encrypt(&key, &mut ciphertext).unwrap();
            let em = ra().raw_rsa(&ciphertext);
            let substitute = Secret::new(vec![1; key_len]);
            let found = match digest {
                None => pkcs1_v15(&em, key_len, &substitute),
                Some(digest) => oaep(&em, digest, key_len, &substitute).unwrap(),
            };
            assert_eq!(found.expose(), key, "{digest:?} {key_len}");
            // A key of another length counts as a defect.
            let longer = Secret::new(vec![1; key_len + 1]);
            let found = match digest {
                None => pkcs1_v15(&em, key_len + 1, &longer),
                Some(digest) => oaep(&em, digest, key_len + 1, &longer).unwrap(),
            };
            assert_eq!(found.expose(), longer.expose(), "{digest:?} {key_len}");
        }
    }
}

#[test]
fn every_defect_of_v15_gives_the_substitute() {
    assert_eq!(v15(&v15_block()), KEY);
    let changed = |at: usize, value: u8| {
        let mut em = v15_block();
        em[at] = value;
        v15(&em)
    };
    let separator = 256 - 17;
    for value in 1..=255 {
        assert_eq!(changed(0, value), SUBSTITUTE, "first octet {value}");
        assert_eq!(changed(separator, value), SUBSTITUTE, "separator {value}");
    }
    for value in (0..=255).filter(|v| *v != 2) {
        assert_eq!(changed(1, value), SUBSTITUTE, "block type {value}");
    }
    for at in 2..separator {
        assert_eq!(changed(at, 0), SUBSTITUTE, "a zero in the padding at {at}");
        assert_eq!(changed(at, 1), KEY, "the padding may have any other octet");
    }
    for at in separator + 1..256 {
        assert_ne!(changed(at, 0xee), SUBSTITUTE, "the key may have any octet");
    }
    // Nothing but zeros, no padding at all, only padding.
    for em in [vec![0; 256], vec![2; 256], [vec![0, 2], vec![0xff; 254]].concat()] {
        assert_eq!(v15(&em), SUBSTITUTE);
    }
}

#[test]
fn v15_wants_eight_octets_of_padding() {
    let of = |filler: usize| v15(&[&[0, 2], vec![0xa5; filler].as_slice(), &[0], &KEY].concat());
    assert_eq!(of(8), KEY);
    assert_eq!(of(7), SUBSTITUTE);
    assert_eq!(of(0), SUBSTITUTE);
    for len in 0..20 {
        assert_eq!(v15(&vec![2; len]), SUBSTITUTE);
    }
}

#[test]
fn every_defect_of_oaep_gives_the_substitute() {
    for digest in [Digest::Sha1, Digest::Sha256] {
        assert_eq!(oaep16(&oaep_block(digest, |_| {}), digest), KEY);
        let h = digest.len();
        let separator = 256 - 1 - h - 17;
        for at in 0..=separator {
            let em = oaep_block(digest, |db| db[at] ^= 0x40);
            assert_eq!(oaep16(&em, digest), SUBSTITUTE, "{digest} data block at {at}");
        }
        // The separator too early or too late: a key of another length.
        for at in [h, separator - 1, separator + 1] {
            let em = oaep_block(digest, |db| {
                db[separator] = 0;
                db[at] = 1;
            });
            assert_eq!(oaep16(&em, digest), SUBSTITUTE);
        }
        let good = oaep_block(digest, |_| {});
        for value in 1..=255 {
            let mut em = good.clone();
            em[0] = value; // Manger's oracle
            assert_eq!(oaep16(&em, digest), SUBSTITUTE, "first octet {value}");
        }
        for at in 1..256 {
            let mut em = good.clone();
            em[at] ^= 1;
            let found = oaep16(&em, digest);
            assert!(found == SUBSTITUTE || at > 255 - 16 - 1 && found != KEY, "{digest} {at}");
        }
        let other = if digest == Digest::Sha1 { Digest::Sha256 } else { Digest::Sha1 };
        assert_eq!(oaep16(&good, other), SUBSTITUTE);
        for len in 0..=2 * h + 17 {
            assert_eq!(oaep16(&good[..len.min(256)], digest), SUBSTITUTE, "{len}");
        }
    }
}

#[test]
fn the_substitute_is_an_hmac_of_the_ciphertext() {
    // RFC 4231, test case 2.
    let key = Secret::new(b"Jefe".to_vec());
    let mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let of = |len| implicit_rejection(&key, b"what do ya want for nothing?", len).unwrap();
    for len in [8, 16, 24, 32] {
        assert_eq!(hex::encode(of(len).expose()), mac[..2 * len]);
    }
    let long = of(80);
    assert_eq!(hex::encode(&long.expose()[..32]), mac);
    assert_ne!(long.expose()[32..64], long.expose()[..32]);
    let other = Secret::new(b"Jeff".to_vec());
    let other = implicit_rejection(&other, b"what do ya want for nothing?", 16).unwrap();
    assert_ne!(other.expose(), of(16).expose());
    assert_ne!(implicit_rejection(&key, b"else", 16).unwrap().expose(), of(16).expose());
}

proptest! {
    #[test]
    fn random_blocks_give_a_key_of_the_right_length(
        em in proptest::collection::vec(any::<u8>(), 0..300),
        key_len in prop_oneof![Just(8usize), Just(16), Just(24), Just(32)],
    ) {
        let substitute = Secret::new(vec![7; key_len]);
        prop_assert_eq!(pkcs1_v15(&em, key_len, &substitute).len(), key_len);
        for digest in [Digest::Sha1, Digest::Sha256] {
            prop_assert_eq!(oaep(&em, digest, key_len, &substitute).unwrap().len(), key_len);
        }
    }
}
