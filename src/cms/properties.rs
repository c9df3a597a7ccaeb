//! What holds for every message that is sealed or signed here, whatever is in it: it reads back as it was
//! written, and no damage is taken for a message.

use openssl::cms::CmsContentInfo;
use openssl::x509::X509;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::testing::{Counting, Identity, device, ec_device, ra};
use super::*;
use crate::pki::{Certificate, Digest, SignatureAlgorithm};
use crate::secret::Secret;

/// Any DER element will do for a content.
fn content() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600)
        .prop_map(|bytes| tlv(tag::SEQUENCE, &[&tlv(tag::OCTET_STRING, &[&bytes])]))
}

fn cipher() -> impl Strategy<Value = Cipher> {
    select(vec![Cipher::Aes128Cbc, Cipher::Aes192Cbc, Cipher::Aes256Cbc, Cipher::DesEde3Cbc])
}

fn envelope(sealed: &[u8]) -> Option<EnvelopedData> {
    EnvelopedData::from_ber(sealed, &Limits::default()).ok()
}

/// What whoever knows `password` reads.
fn by_password(sealed: &[u8], password: &Secret) -> Option<Vec<u8>> {
    let envelope = envelope(sealed)?;
    let [Recipient::Password(recipient)] = envelope.recipients() else { return None };
    let ContentCipher::Known(cipher, _) = envelope.cipher() else { return None };
    let recipient = PasswordRecipient::from_der(recipient).ok()?;
    // As the signer does, which refuses more before it derives anything.
    if recipient.iterations() > MAX_ITERATIONS {
        return None;
    }
    let key = recipient.content_key(password, cipher.key_len()).ok()?;
    envelope.open(&key).read(|der| Ok::<_, String>(der.to_vec())).ok()
}

/// What the EC key of `device` reads, as OpenSSL sees it.
fn by_agreement(sealed: &[u8], device: &Identity) -> Option<Vec<u8>> {
    let certificate = X509::from_der(device.certificate.der()).unwrap();
    CmsContentInfo::from_der(sealed).ok()?.decrypt(&device.key, &certificate).ok()
}

/// The message cut short, or with one bit turned.
fn damaged(message: &[u8], at: Index, bit: u8, cut: bool) -> Vec<u8> {
    let at = at.index(message.len());
    let mut changed = message.to_vec();
    match cut {
        true => changed.truncate(at),
        false => changed[at] ^= 1 << bit,
    }
    changed
}

/// An answer to GetNextCACert (RFC 8894 section 4.7.1): the next certificates in the content and beside
/// the signer's, signed by the current CA.
fn announcement(next: &[&Certificate], digest: Digest) -> Vec<u8> {
    let unsigned = UnsignedData::new(Some(certs_only(next)), Vec::new(), digest).unwrap();
    let signature = ra().sign(SignatureAlgorithm::RsaPkcs1(digest), unsigned.to_be_signed());
    unsigned.assemble(&signature, &ra().certificate, next)
}

/// The next certificates, as a client learns them that knows the current CA.
fn announced(message: &[u8]) -> Option<Vec<Vec<u8>>> {
    let signed = SignedData::from_ber(message, &Limits::default()).ok()?;
    let content = signed.content()?;
    let key = ra().certificate.public_key();
    signed.signer()?.verify(signed.content_type(), content, key).ok()?;
    let inner = SignedData::from_ber(content, &Limits::default()).ok()?;
    assert!(inner.content().is_none() && inner.signer().is_none());
    Some(inner.certificates().to_vec())
}

fn authorities() -> impl Strategy<Value = Vec<&'static Certificate>> {
    let all = vec![&ra().certificate, &device().certificate, &ec_device().certificate];
    prop::collection::vec(select(all), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn row_046_an_envelope_under_a_password_reads_back(
        content in content(), cipher in cipher(), word in "\\PC{1,48}", other in "\\PC{1,48}",
    ) {
        let [password, wrong] = [&word, &other].map(|t| Secret::new(t.as_bytes().to_vec()));
        let random = Counting::new();
        let key = PasswordKey::derive(&password, cipher, &random).unwrap();
        let sealed = seal(&content, Receiver::Password(&key), cipher, &random).unwrap();
        prop_assert_eq!(by_password(&sealed, &password), Some(content));
        if word != other {
            prop_assert_eq!(by_password(&sealed, &wrong), None);
        }
    }

    #[test]
    fn row_046_an_envelope_to_an_ec_key_reads_back(content in content(), cipher in cipher()) {
        let to = Receiver::Agreement(&ec_device().certificate);
        let sealed = seal(&content, to, cipher, &Counting::new()).unwrap();
        prop_assert!(matches!(envelope(&sealed).unwrap().recipients(), [Recipient::KeyAgreement(_)]));
        prop_assert_eq!(by_agreement(&sealed, ec_device()), Some(content));
    }

    #[test]
    fn t20_no_part_of_an_ec_envelope_is_one(
        content in content(), cipher in cipher(), at: Index, bit in 0u8..8, cut: bool, agreed: bool,
    ) {
        let (random, password) = (Counting::new(), Secret::new(b"word".to_vec()));
        let key = PasswordKey::derive(&password, cipher, &random).unwrap();
        let to = match agreed {
            true => Receiver::Agreement(&ec_device().certificate),
            false => Receiver::Password(&key),
        };
        let sealed = seal(&content, to, cipher, &random).unwrap();
        let changed = damaged(&sealed, at, bit, cut);
        // A turned bit of the ciphertext is for the signature around it to find; here nothing panics, and
        // no part is the whole.
        let read = match agreed {
            true => envelope(&changed).and_then(|_| by_agreement(&changed, ec_device())),
            false => by_password(&changed, &password),
        };
        prop_assert!(!cut || read.is_none());
    }

    #[test]
    fn row_101_an_announcement_reads_back(
        next in authorities(),
        digest in select(vec![Digest::Sha256, Digest::Sha384, Digest::Sha512]),
    ) {
        let message = announcement(&next, digest);
        let expected: Vec<Vec<u8>> = next.iter().map(|c| c.der().to_vec()).collect();
        prop_assert_eq!(announced(&message), Some(expected.clone()));
        let outer = SignedData::from_ber(&message, &Limits::default()).unwrap();
        for der in expected.iter().map(Vec::as_slice).chain([ra().certificate.der()]) {
            prop_assert!(outer.certificates().iter().any(|c| c == der));
        }
    }

    #[test]
    fn t20_no_damage_makes_another_announcement(
        next in authorities(), at: Index, bit in 0u8..8, cut: bool,
    ) {
        let message = announcement(&next, Digest::Sha256);
        let original = announced(&message).expect("the control: it is sound before");
        if let Some(other) = announced(&damaged(&message, at, bit, cut)) {
            prop_assert!(!cut, "a part of it was taken for the whole");
            prop_assert_eq!(other, original);
        }
    }
}
