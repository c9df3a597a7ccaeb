use proptest::prelude::*;

use super::super::testing::{Counting, openssl_in};
use super::super::{ContentCipher, EnvelopedData, Limits, Receiver, Recipient, seal};
use super::*;

/// Any DER element will do for a content.
fn content() -> Vec<u8> {
    tlv(tag::SEQUENCE, &[&tlv(tag::OCTET_STRING, &[&[0x5a; 300]])])
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn recipient(envelope: &EnvelopedData) -> PasswordRecipient {
    let [Recipient::Password(der)] = envelope.recipients() else { panic!("{envelope:?}") };
    PasswordRecipient::from_der(der).unwrap()
}

/// The content as whoever knows `password` reads it.
fn opened(message: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let envelope = EnvelopedData::from_ber(message, &Limits::default()).unwrap();
    let ContentCipher::Known(cipher, _) = envelope.cipher() else { panic!("unknown cipher") };
    let key = recipient(&envelope).content_key(&secret(password), cipher.key_len()).unwrap();
    assert_eq!(key.len(), cipher.key_len());
    envelope.open(&key).read(|der| Ok::<_, String>(der.to_vec())).map_err(|e| e.to_string())
}

fn sealed(cipher: Cipher) -> Vec<u8> {
    let random = Counting::new();
    let key = PasswordKey::derive(&secret("word"), cipher, &random).unwrap();
    seal(&content(), Receiver::Password(&key), cipher, &random).unwrap()
}

/// A PasswordRecipientInfo with these parameters of PBKDF2 and a key wrapped by AES-128.
fn with_parameters(parameters: &[&[u8]]) -> Result<PasswordRecipient, String> {
    let derivation = tlv(tag::SEQUENCE, parameters);
    let iv = tlv(tag::OCTET_STRING, &[&[1; 16]]);
    let der = tlv(
        tag::CONTEXT_3,
        &[
            &[tag::INTEGER, 1, 0],
            &tlv(tag::CONTEXT_0, &[&tlv(tag::OID, &[PBKDF2.as_bytes()]), &derivation]),
            &identifier(PWRI_KEK, &identifier(Cipher::Aes128Cbc.oid(), &iv)),
            &tlv(tag::OCTET_STRING, &[&[7; 32]]),
        ],
    );
    PasswordRecipient::from_der(&der).map_err(|e| e.to_string())
}

#[test]
fn row_046_reads_what_openssl_encrypts() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("content"), content()).unwrap();
    for (option, cipher) in [
        ("-aes128", Cipher::Aes128Cbc),
        ("-aes192 -stream", Cipher::Aes192Cbc),
        ("-aes256", Cipher::Aes256Cbc),
        ("-des3", Cipher::DesEde3Cbc),
    ] {
        let command =
            format!("cms -encrypt -binary -in content -outform DER {option} -pwri_password word");
        let message = openssl_in(dir.path(), &command);
        let envelope = EnvelopedData::from_ber(&message, &Limits::default()).unwrap();
        let found = recipient(&envelope);
        assert_eq!((found.cipher(), found.iterations()), (cipher, 2048), "{option}");
        assert_eq!(opened(&message, "word"), Ok(content()), "{option}");
        let text = "the envelope could not be opened";
        for wrong in ["", "Word", "word "] {
            assert_eq!(opened(&message, wrong).unwrap_err(), text);
        }
    }
}

#[test]
fn row_046_openssl_decrypts_what_we_seal() {
    let dir = tempfile::tempdir().unwrap();
    for cipher in [Cipher::Aes128Cbc, Cipher::Aes192Cbc, Cipher::Aes256Cbc, Cipher::DesEde3Cbc] {
        let message = sealed(cipher);
        assert_eq!(opened(&message, "word"), Ok(content()));
        std::fs::write(dir.path().join("sealed"), &message).unwrap();
        let decrypt = "cms -decrypt -binary -inform DER -in sealed -pwri_password word";
        assert_eq!(openssl_in(dir.path(), decrypt), content(), "{cipher}");
        let der = openssl_in(dir.path(), "cms -cmsout -inform DER -in sealed -outform DER");
        assert_eq!(der, message);
    }
}

#[test]
fn the_vector_of_rfc_3211() {
    // Section 3, the first: a DES key under a DES key from five iterations.
    let bytes = |text: &str| hex::decode(text).unwrap();
    let salt = bytes("1234567878563412");
    let kek = derive(&secret("password"), Digest::Sha1, &salt, 5, Cipher::DesCbc).unwrap();
    assert_eq!(hex::encode(kek.expose()), "d1daa78615f287e6");
    let found = PasswordRecipient {
        prf: Digest::Sha1,
        salt,
        iterations: 5,
        cipher: Cipher::DesCbc,
        iv: bytes("efe598ef21b33d6d"),
        encrypted_key: bytes("b81b2565ee373ca6dedca26a178b0c10"),
    };
    let key = found.content_key(&secret("password"), 8).unwrap();
    assert_eq!(hex::encode(key.expose()), "8c627c897323a2f8");
}

#[test]
fn t14_a_wrong_password_gives_a_key_that_looks_like_any_other() {
    let envelope = EnvelopedData::from_ber(&sealed(Cipher::Aes256Cbc), &Limits::default()).unwrap();
    let found = recipient(&envelope);
    let under = |password: &str, len| found.content_key(&secret(password), len).unwrap();
    let (right, wrong) = (under("word", 32), under("guess", 32));
    assert!(!right.ct_eq(wrong.expose()) && wrong.len() == 32);
    // Asked again it is the same; for another cipher's length there is one, too, and one that
    // nobody can tell from the wrapped key's beginning.
    assert!(under("guess", 32).ct_eq(wrong.expose()));
    let short = under("word", 16);
    assert!(short.len() == 16 && !short.ct_eq(&right.expose()[..16]));
    assert_eq!(under("word", 200).len(), 200);
}

#[test]
fn t62_iterations_and_lengths_are_bounded_before_anything_is_derived() {
    let salt: &[u8] = &tlv(tag::OCTET_STRING, &[&[3; 8]]);
    let count = |octets: &[u8]| tlv(tag::INTEGER, &[octets]);
    let good = with_parameters(&[salt, &count(&[1, 0x86, 0xa0])]).unwrap();
    assert_eq!((good.iterations(), good.prf), (MAX_ITERATIONS, Digest::Sha1));
    let limit = "the message holds more than 100000 iterations of a password's derivation";
    for many in [&[1, 0x86, 0xa1][..], &[0x7f; 4], &[0, 0xff, 0xff, 0xff, 0xff], &[0x7f; 16]] {
        assert_eq!(with_parameters(&[salt, &count(many)]).unwrap_err(), limit);
    }
    for (odd, word) in [(&[0][..], "zero"), (&[0x80], "negative"), (&[0xff; 9], "negative")] {
        assert!(with_parameters(&[salt, &count(odd)]).unwrap_err().contains(word));
    }
    let thousand = count(&[4, 0]);
    for len in [0, MAX_SALT + 1] {
        let salt = tlv(tag::OCTET_STRING, &[&vec![3; len]]);
        assert!(with_parameters(&[&salt, &thousand]).unwrap_err().contains("salt"));
    }
    assert!(with_parameters(&[salt, &thousand, &count(&[16])]).is_ok());
    assert!(with_parameters(&[salt, &thousand, &count(&[32])]).unwrap_err().contains("keyLength"));
    let prf = |digest| identifier_with_null(hmac_oid(digest));
    for digest in [Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512] {
        assert_eq!(with_parameters(&[salt, &thousand, &prf(digest)]).unwrap().prf, digest);
    }
    let error = with_parameters(&[salt, &thousand, &prf(Digest::Md5)]).unwrap_err();
    assert!(error.contains("1.2.840.113549.2.6 is not supported"), "{error}");
    assert!(with_parameters(&[salt, &thousand, &prf(Digest::Sha256), &[5, 0]]).is_err());
    // A salt from elsewhere, which RFC 8018 leaves for later, and no derivation at all.
    assert!(with_parameters(&[&identifier_with_null(PBKDF2), &thousand]).is_err());
    assert!(PasswordRecipient::from_der(&[tag::CONTEXT_3, 3, 2, 1, 0]).is_err());
}

/// The bytes of a PasswordRecipientInfo that is sound.
fn sound() -> Vec<u8> {
    let envelope = EnvelopedData::from_ber(&sealed(Cipher::Aes128Cbc), &Limits::default()).unwrap();
    let [Recipient::Password(der)] = envelope.recipients() else { panic!() };
    der.clone()
}

#[test]
fn t20_truncated_recipients_are_refused_and_a_flipped_bit_gives_another_key() {
    let der = sound();
    for cut in 0..der.len() {
        assert!(PasswordRecipient::from_der(&der[..cut]).is_err(), "{cut}");
    }
    let key = |der: &[u8]| {
        let found = PasswordRecipient::from_der(der).ok()?;
        Some(found.content_key(&secret("word"), 16).unwrap().expose().to_vec())
    };
    let right = key(&der);
    // The version's value says nothing and is not looked at.
    let version = der.windows(3).position(|w| w == [tag::INTEGER, 1, 0]).unwrap() + 2;
    for at in (0..der.len()).filter(|at| *at != version) {
        let mut changed = der.clone();
        changed[at] ^= 1 << (at % 8);
        let found = key(&changed);
        assert!(found.is_none() || found != right, "byte {at}");
    }
}

proptest! {
    #[test]
    fn t20_random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = PasswordRecipient::from_der(&bytes);
        let _ = PasswordRecipient::from_der(&tlv(tag::CONTEXT_3, &[&bytes]));
    }

    #[test]
    fn what_is_wrapped_is_unwrapped(
        key in prop_oneof![Just(8usize), Just(16), Just(24), Just(32)],
        which in 0usize..5,
        seed in any::<u8>(),
    ) {
        let cipher = Cipher::ALL[which];
        let content_key = Secret::new(vec![seed; key]);
        let random = Counting::new();
        let kek = derive(&secret("word"), Digest::Sha256, &[seed], 3, cipher).unwrap();
        let iv = vec![seed; cipher.block_len()];
        let encrypted_key = wrap(cipher, &kek, &iv, &content_key, &random).unwrap();
        let found = PasswordRecipient {
            prf: Digest::Sha256, salt: vec![seed], iterations: 3, cipher, iv, encrypted_key,
        };
        let opened = found.content_key(&secret("word"), key).unwrap();
        prop_assert!(opened.ct_eq(content_key.expose()));
        let other = found.content_key(&secret("other"), key).unwrap();
        prop_assert!(!other.ct_eq(content_key.expose()));
    }
}
