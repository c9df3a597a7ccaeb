//! Requests of real clients (`tests/vectors/scep`).

use super::super::testing::read_csr;
use super::super::transport::decode_get_message;
use super::tests::content;
use super::*;
use crate::cms::Cipher;
use crate::cms::testing::Identity;

fn ra() -> Identity {
    let key = include_bytes!("../../../tests/vectors/scep/ra.key");
    let certificate = include_bytes!("../../../tests/vectors/scep/ra.pem");
    Identity {
        key: openssl::pkey::PKey::private_key_from_pem(key).unwrap(),
        certificate: Certificate::from_pem(certificate).unwrap(),
    }
}

fn certmonger() -> Vec<u8> {
    let raw = include_str!("../../../tests/vectors/scep/certmonger-0.79.17.get");
    decode_get_message(raw, 64 * 1024).unwrap()
}

const STRONGSWAN: &[u8] = include_bytes!("../../../tests/vectors/scep/strongswan-5.9.8.der");
const BOUNCYCASTLE: &[u8] = include_bytes!("../../../tests/vectors/scep/bouncycastle-1.72.der");

fn parse(message: &[u8]) -> Result<SignedRequest, RequestError> {
    SignedRequest::parse(message, &Limits::default())
}

#[test]
fn requests_of_real_clients_are_read() {
    let (ra, certmonger) = (ra(), certmonger());
    for (message, cipher, serial, id_len) in [
        (STRONGSWAN, Cipher::Aes128Cbc, 20, 40),
        (&certmonger, Cipher::Aes256Cbc, 32, 77),
        (BOUNCYCASTLE, Cipher::Aes128Cbc, 1, 40),
    ] {
        let request = parse(message).unwrap();
        AlgorithmPolicy::default().check(&request).unwrap();
        assert_eq!(request.message_type(), MessageType::PkcsReq);
        assert_eq!(request.digest(), Digest::Sha256);
        assert_eq!(request.reply_context().cipher(), Some(cipher));
        assert_eq!(request.transaction_id().as_bytes().len(), id_len);
        assert_eq!(request.sender_nonce().unwrap().as_bytes().len(), 16);
        assert_eq!(request.signer().serial().content().len(), serial);
        let csr = content(&request, &ra).unwrap();
        let csr = openssl::x509::X509Req::from_der(&csr).unwrap();
        let key = csr.public_key().unwrap();
        assert!(key.public_eq(request.signer().public_key().openssl().unwrap()), "row 56");
    }
    assert_eq!(BOUNCYCASTLE[1], 0x80, "BER, and the test is worth something");
}

#[test]
fn t20_real_requests_cut_short_are_refused() {
    for message in [STRONGSWAN, &certmonger(), BOUNCYCASTLE] {
        for cut in 0..message.len() {
            assert!(parse(&message[..cut]).is_err(), "{cut} of {}", message.len());
        }
    }
}

#[test]
fn t20_real_requests_with_a_flipped_bit() {
    for message in [STRONGSWAN, &certmonger(), BOUNCYCASTLE] {
        let original = parse(message).unwrap();
        let mut accepted = 0;
        for at in 0..message.len() {
            let mut changed = message.to_vec();
            changed[at] ^= 1 << ((at + message.len()) % 8);
            let Ok(request) = parse(&changed) else { continue };
            accepted += 1;
            assert_eq!(request.message_type(), original.message_type());
            assert_eq!(request.transaction_id(), original.transaction_id());
            assert_eq!(request.sender_nonce(), original.sender_nonce());
            let keys = [&request, &original].map(|r| r.signer().public_key().openssl().unwrap());
            assert!(keys[0].public_eq(keys[1]), "byte {at}: another key");
            let (a, b) = (request.envelope(), original.envelope());
            assert_eq!(format!("{a:?}"), format!("{b:?}"), "byte {at}");
        }
        // The certificate around its key is signed by nobody who counts; little else is free.
        assert!(accepted < original.signer().der().len(), "{accepted} of {}", message.len());
    }
}

/// What OpenSSL says of the message's signature; whose the certificate is does not matter.
fn openssl_verifies(message: &[u8]) -> bool {
    use openssl::cms::{CMSOptions, CmsContentInfo};
    let Ok(mut read) = CmsContentInfo::from_der(message) else { return false };
    let options = CMSOptions::NO_SIGNER_CERT_VERIFY | CMSOptions::BINARY;
    read.verify(None, None, None, None, options).is_ok()
}

/// What a request means: who asks, in which transaction, for what.
fn meaning(request: &SignedRequest) -> String {
    let (kind, id) = (request.message_type(), request.transaction_id());
    let (nonce, envelope) = (request.sender_nonce(), request.envelope());
    format!("{kind:?} {id:?} {nonce:?} {:?} {envelope:?}", request.signer().der())
}

/// OpenSSL must not refuse what is accepted here. It does in three places that are read over on purpose,
/// because clients get them wrong: the list of digestAlgorithms before the content, the string types in
/// the signer's issuer, the parameters of signatureAlgorithm. Nothing there changes what is asked.
#[test]
fn t22_what_is_accepted_here_openssl_accepts_too() {
    for message in [STRONGSWAN, &certmonger(), BOUNCYCASTLE] {
        let original = parse(message).unwrap();
        // The control: the oracle accepts the message itself and refuses another content.
        assert!(openssl_verifies(message));
        let ra = ra();
        let ours = original.recipient(&[&ra.certificate], &AlgorithmPolicy::default()).unwrap();
        let start = &ours.encrypted_key[..32];
        let mut forged = message.to_vec();
        forged[message.windows(32).position(|w| w == start).unwrap()] ^= 1;
        assert!(parse(&forged).is_err() && !openssl_verifies(&forged));
        let (mut accepted, mut refused_there) = (0, 0);
        for at in 0..message.len() {
            for bit in [at % 8, (at + 3) % 8] {
                let mut changed = message.to_vec();
                changed[at] ^= 1 << bit;
                let Ok(request) = parse(&changed) else { continue };
                accepted += 1;
                if !openssl_verifies(&changed) {
                    refused_there += 1;
                    assert_eq!(meaning(&request), meaning(&original), "octet {at}, bit {bit}");
                }
            }
        }
        assert!(accepted > refused_there, "{refused_there} of {accepted}");
        assert!(refused_there < 60, "{refused_there} of {accepted}");
    }
}

#[test]
fn t15_damage_to_a_real_envelope_looks_all_the_same() {
    let ra = ra();
    let request = parse(STRONGSWAN).unwrap();
    let recipient = request.recipient(&[&ra.certificate], &AlgorithmPolicy::default()).unwrap();
    let em = ra.raw_rsa(recipient.encrypted_key);
    let wrong = Secret::new(vec![0; 16]);
    let key = crate::cms::unpad::pkcs1_v15(&em, 16, &wrong);
    assert!(request.open(&key).read(read_csr).is_ok());
    let said = |key: &Secret| request.open(key).read(read_csr).unwrap_err().to_string();
    assert_eq!(said(&wrong), "the envelope could not be opened");
    for bit in 0..128 {
        let mut near = key.expose().to_vec();
        near[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(said(&Secret::new(near)), said(&wrong));
    }
}
