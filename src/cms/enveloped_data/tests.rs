use openssl::symm;

use super::super::asn1::tlv;
use super::super::testing::{
    Counting, Identity, ber_of, by_key_identifier, device, ec_device, openssl_in, ra,
};
use super::super::{ID_DATA, Receiver, seal, unpad};
use super::*;
use crate::pki::Digest;
use crate::secret::Secret;

/// Any DER element will do for a content.
fn content() -> Vec<u8> {
    tlv(tag::SEQUENCE, &[&tlv(tag::OCTET_STRING, &[&[0x5a; 700]])])
}

/// What a key in an HSM and the host make of a recipient, with a substitute of zeros.
fn unwrap(recipient: &KeyTransRecipient, identity: &Identity, key_len: usize) -> Secret {
    let em = identity.raw_rsa(recipient.encrypted_key());
    let substitute = Secret::new(vec![0; key_len]);
    match recipient.transport().unwrap() {
        KeyTransport::RsaPkcs1v15 => unpad::pkcs1_v15(&em, key_len, &substitute),
        KeyTransport::RsaOaep(digest) => unpad::oaep(&em, digest, key_len, &substitute).unwrap(),
    }
}

/// The content as `identity` reads it.
fn opened(envelope: &EnvelopedData, identity: &Identity) -> Result<Vec<u8>, String> {
    let ContentCipher::Known(cipher, _) = envelope.cipher() else { panic!("unknown cipher") };
    let ours = envelope.recipients().iter().find_map(|r| match r {
        Recipient::KeyTransport(r) if r.identifier().matches(&identity.certificate) => Some(r),
        _ => None,
    });
    let key = unwrap(ours.ok_or("not a recipient")?, identity, cipher.key_len());
    let read = |der: &[u8]| Ok::<_, String>(der.to_vec());
    envelope.open(&key).read(read).map_err(|e| e.to_string())
}

fn parse(message: &[u8]) -> Result<EnvelopedData, CmsError> {
    EnvelopedData::from_ber(message, &Limits::default())
}

#[test]
fn row_043_reads_what_openssl_encrypts() {
    let dir = tempfile::tempdir().unwrap();
    ra().write(dir.path(), "ra");
    device().write(dir.path(), "device");
    std::fs::write(dir.path().join("content"), content()).unwrap();
    let encrypt = "cms -encrypt -binary -in content -outform DER";
    let v15 = KeyTransport::RsaPkcs1v15;
    let oaep = KeyTransport::RsaOaep;
    for (options, key_options, cipher, transport) in [
        ("-aes128", "", Cipher::Aes128Cbc, v15),
        ("-aes192", "", Cipher::Aes192Cbc, v15),
        ("-aes256 -stream", "", Cipher::Aes256Cbc, v15),
        ("-des3 -stream", "", Cipher::DesEde3Cbc, v15),
        ("-des -provider legacy -provider default", "", Cipher::DesCbc, v15),
        ("-aes128 -keyid", "", Cipher::Aes128Cbc, v15),
        ("-des3", "oaep", Cipher::DesEde3Cbc, oaep(Digest::Sha1)),
        ("-aes128", "oaep -keyopt rsa_oaep_md:sha256", Cipher::Aes128Cbc, oaep(Digest::Sha256)),
        (
            "-aes256 -stream",
            "oaep -keyopt rsa_oaep_md:sha512",
            Cipher::Aes256Cbc,
            oaep(Digest::Sha512),
        ),
    ] {
        let padding = if key_options.is_empty() { "" } else { "-keyopt rsa_padding_mode:" };
        let command = format!("{encrypt} {options} -recip ra.pem {padding}{key_options}");
        let envelope = parse(&openssl_in(dir.path(), &command)).unwrap();
        assert!(
            matches!(envelope.cipher(), ContentCipher::Known(c, _) if *c == cipher),
            "{command}"
        );
        let [Recipient::KeyTransport(recipient)] = envelope.recipients() else {
            panic!("{command}")
        };
        assert_eq!(recipient.transport().unwrap(), transport, "{command}");
        let by_key = matches!(recipient.identifier(), EntityIdentifier::SubjectKeyIdentifier(_));
        assert_eq!(by_key, options.contains("-keyid"));
        assert_eq!(envelope.content_type(), ID_DATA);
        assert_eq!(opened(&envelope, ra()), Ok(content()), "{command}");
        assert!(opened(&envelope, device()).is_err());
    }
}

#[test]
fn row_044_finds_its_recipient_among_several() {
    let dir = tempfile::tempdir().unwrap();
    for (identity, name) in [(ra(), "ra"), (device(), "device"), (ec_device(), "ec")] {
        identity.write(dir.path(), name);
    }
    std::fs::write(dir.path().join("content"), content()).unwrap();
    let encrypt = "cms -encrypt -binary -in content -outform DER -aes128";
    let all = openssl_in(
        dir.path(),
        &format!(
            "{encrypt} -pwri_password word -secretkey 00112233445566778899aabbccddeeff -secretkeyid 01 ec.pem device.pem ra.pem"
        ),
    );
    let envelope = parse(&all).unwrap();
    assert_eq!(envelope.recipients().len(), 5);
    let count = |f: fn(&Recipient) -> bool| envelope.recipients().iter().filter(|r| f(r)).count();
    assert_eq!(count(|r| matches!(r, Recipient::KeyAgreement(der) if der[0] == 0xa1)), 1);
    assert_eq!(count(|r| matches!(r, Recipient::Password(der) if der[0] == 0xa3)), 1);
    assert_eq!(count(|r| matches!(r, Recipient::Other)), 1);
    assert_eq!(opened(&envelope, ra()), Ok(content()));
    assert_eq!(opened(&envelope, device()), Ok(content()));

    let nine = "ra.pem ".repeat(9);
    let error = parse(&openssl_in(dir.path(), &format!("{encrypt} {nine}"))).unwrap_err();
    assert_eq!(error.to_string(), "the message holds more than 8 recipients");
}

#[test]
fn row_081_openssl_decrypts_what_we_seal() {
    let dir = tempfile::tempdir().unwrap();
    device().write(dir.path(), "device");
    let oaep = [Digest::Sha1, Digest::Sha256, Digest::Sha512].map(KeyTransport::RsaOaep);
    for transport in oaep.into_iter().chain([KeyTransport::RsaPkcs1v15]) {
        for cipher in Cipher::ALL {
            let random = Counting::new();
            let to = Receiver::Rsa(&device().certificate, transport);
            let sealed = seal(&content(), to, cipher, &random).unwrap();
            let envelope = parse(&sealed).unwrap();
            assert_eq!(opened(&envelope, device()), Ok(content()));
            std::fs::write(dir.path().join("sealed"), &sealed).unwrap();
            let decrypt = "cms -decrypt -binary -inform DER -in sealed -recip device.pem -inkey device.key -provider legacy -provider default";
            assert_eq!(openssl_in(dir.path(), decrypt), content(), "{cipher} {transport}");
            let der = openssl_in(dir.path(), "cms -cmsout -inform DER -in sealed -outform DER");
            assert_eq!(der, sealed);
            // The randomness is what was handed in, and all of it is fresh.
            let again = seal(&content(), to, cipher, &Counting::new());
            assert_eq!(again.unwrap(), sealed);
            let fresh = seal(&content(), to, cipher, &random);
            assert_ne!(fresh.unwrap(), sealed);
        }
    }
    let ec = Receiver::Rsa(&ec_device().certificate, KeyTransport::RsaPkcs1v15);
    let refused = seal(&[], ec, Cipher::Aes128Cbc, &Counting::new());
    assert!(refused.unwrap_err().to_string().contains("P-256"));
}

#[test]
fn row_041_any_ber_of_an_envelope_reads_alike() {
    let to = Receiver::Rsa(&ra().certificate, KeyTransport::RsaOaep(Digest::Sha256));
    let sealed = seal(&content(), to, Cipher::Aes128Cbc, &Counting::new()).unwrap();
    for seed in 0..50u8 {
        let mut state = seed;
        let ber = ber_of(&sealed, &mut || {
            state = state.wrapping_mul(37).wrapping_add(11);
            state >> 2
        });
        assert_eq!(opened(&parse(&ber).unwrap(), ra()), Ok(content()));
    }
}

/// An envelope with these pieces, the ciphertext of `content()` under a key of `11`.
fn pieces(cipher: &[u8], ciphertext: &[u8], rid: &[u8]) -> Vec<u8> {
    let version = [tag::INTEGER, 1, 2];
    let transport = KeyTransport::RsaPkcs1v15.identifier_der();
    let key = tlv(tag::OCTET_STRING, &[&[9; 256]]);
    let recipient = tlv(tag::SEQUENCE, &[&version, rid, &transport, &key]);
    let data = tlv(tag::OID, &[ID_DATA.as_bytes()]);
    let info = tlv(tag::SEQUENCE, &[&data, cipher, ciphertext]);
    let body = tlv(tag::SEQUENCE, &[&version, &tlv(tag::SET, &[&recipient]), &info]);
    let oid = tlv(tag::OID, &[ID_ENVELOPED_DATA.as_bytes()]);
    tlv(tag::SEQUENCE, &[&oid, &tlv(tag::CONTEXT_0, &[&body])])
}

fn cipher_der(oid: &str, parameters: &[u8]) -> Vec<u8> {
    let oid = ObjectIdentifier::new_unwrap(oid);
    tlv(tag::SEQUENCE, &[&tlv(tag::OID, &[oid.as_bytes()]), parameters])
}

#[test]
fn odd_pieces() {
    let aes = |iv: &[u8]| cipher_der("2.16.840.1.101.3.4.1.2", &tlv(tag::OCTET_STRING, &[iv]));
    let good = aes(&[1; 16]);
    let rid = by_key_identifier(&ra().certificate);
    let whole = tlv(tag::CONTEXT_0_PRIMITIVE, &[&[7; 32]]);
    let of = |message: &[u8]| parse(message).map_err(|e| e.to_string());
    let envelope = of(&pieces(&good, &whole, &rid)).unwrap();
    assert_eq!(envelope.ciphertext, [7; 32]);
    // Segments under the context tag, and an SKI with explicit tagging.
    let halves = tlv(tag::OCTET_STRING, &[&[7; 16]]);
    let segments = tlv(tag::CONTEXT_0, &[&halves, &halves]);
    assert_eq!(of(&pieces(&good, &segments, &rid)).unwrap().ciphertext, [7; 32]);
    let explicit = tlv(tag::CONTEXT_0, &[&tlv(tag::OCTET_STRING, &[&rid[2..]])]);
    let envelope = of(&pieces(&good, &whole, &explicit)).unwrap();
    let [Recipient::KeyTransport(recipient)] = envelope.recipients() else { panic!() };
    assert!(recipient.identifier().matches(&ra().certificate));

    let error =
        |cipher: &[u8], ciphertext: &[u8]| of(&pieces(cipher, ciphertext, &rid)).unwrap_err();
    assert!(error(&aes(&[1; 8]), &whole).contains("8 bytes"));
    assert!(error(&cipher_der("2.16.840.1.101.3.4.1.2", &[5, 0]), &whole).contains("IV"));
    assert!(error(&cipher_der("2.16.840.1.101.3.4.1.2", &[]), &whole).contains("IV"));
    for len in [0, 1, 15, 17] {
        let odd = tlv(tag::CONTEXT_0_PRIMITIVE, &[&vec![7; len]]);
        assert!(error(&good, &odd).contains("whole number of blocks"), "{len}");
    }
    assert!(error(&good, &[]).contains("encryptedContent"));
    assert!(error(&good, &tlv(tag::CONTEXT_0, &[&[2, 1, 1]])).contains("encryptedContent"));
    // A cipher that is not known is reported, whatever its parameters: row 51.
    let rc2 = cipher_der("1.2.840.113549.3.2", &[5, 0]);
    let envelope = of(&pieces(&rc2, &whole, &rid)).unwrap();
    assert_eq!(envelope.cipher(), &ContentCipher::Unknown("1.2.840.113549.3.2".into()));
    let read = envelope.open(&Secret::new(vec![1; 16])).read(|_| Ok::<_, String>(()));
    assert!(read.is_err());
    assert!(of(&[0x30, 0]).is_err());
}

#[test]
fn t15_every_way_to_fail_looks_the_same() {
    let key = Secret::new(vec![0x11; 16]);
    let iv = [1; 16];
    let aes = cipher_der("2.16.840.1.101.3.4.1.2", &tlv(tag::OCTET_STRING, &[&iv]));
    let rid = by_key_identifier(&ra().certificate);
    let envelope = |ciphertext: &[u8]| {
        parse(&pieces(&aes, &tlv(tag::CONTEXT_0_PRIMITIVE, &[ciphertext]), &rid)).unwrap()
    };
    let good = Cipher::Aes128Cbc.encrypt(&key, &iv, &content()).unwrap();
    // The reader that the content deserves: it knows what it wants.
    let read = |envelope: &EnvelopedData, key: &Secret| {
        let mut called = 0;
        let result = envelope.open(key).read(|der| {
            called += 1;
            if der == content() { Ok(()) } else { Err("something else") }
        });
        assert_eq!(called, 1, "the reader always runs");
        result.map_err(|e| e.to_string())
    };
    assert_eq!(read(&envelope(&good), &key), Ok(()));
    let mut failures = std::collections::BTreeSet::new();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone();
            changed[at] ^= 1 << bit;
            failures.insert(read(&envelope(&changed), &key).expect_err("a flipped bit"));
        }
    }
    for blocks in 1..good.len() / 16 {
        failures.insert(read(&envelope(&good[..16 * blocks]), &key).unwrap_err());
    }
    for wrong in [vec![0x12; 16], vec![0x11; 15], vec![0x11; 24], vec![]] {
        failures.insert(read(&envelope(&good), &Secret::new(wrong)).unwrap_err());
    }
    // No padding, too much of it, and an intact element with a block of padding too many.
    let raw = |plaintext: &[u8]| {
        let mut crypter = symm::Crypter::new(
            symm::Cipher::aes_128_cbc(),
            symm::Mode::Encrypt,
            &[0x11; 16],
            Some(&iv),
        )
        .unwrap();
        crypter.pad(false);
        let mut out = vec![0; plaintext.len() + 16];
        let len = crypter.update(plaintext, &mut out).unwrap();
        out.truncate(len);
        envelope(&out)
    };
    let body = content();
    let pad = 16 - body.len() % 16;
    for filler in
        [vec![0; pad], vec![pad as u8 + 1; pad], vec![pad as u8; pad + 16], vec![17; pad + 16]]
    {
        failures.insert(read(&raw(&[body.as_slice(), &filler].concat()), &key).unwrap_err());
    }
    assert_eq!(failures.into_iter().collect::<Vec<_>>(), ["the envelope could not be opened"]);
}
