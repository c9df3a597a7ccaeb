//! Requests as clients make them, and as nobody should.

use der::Tag;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use proptest::prelude::*;

use super::fixtures::*;

use crate::pki::csr::{CertificateRequest, ChallengeError, CsrError, MAX_ATTRIBUTES, MAX_REQUEST};
use crate::pki::{Digest, SignatureAlgorithm, SignatureError};

fn read(der: &[u8]) -> Result<CertificateRequest, CsrError> {
    CertificateRequest::from_der(der)
}

fn challenge_of(attributes: &[Vec<u8>]) -> Result<Option<Vec<u8>>, CsrError> {
    let csr = read(&request(&rsa_key(), &common_name("a"), Some(attributes))).unwrap();
    csr.challenge().map(|c| c.map(|c| c.expose().to_vec()))
}

#[test]
fn reads_what_openssl_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (config, key, csr) = (path("c"), path("k"), path("r"));
    std::fs::write(
        &config,
        "[req]\nprompt=no\ndistinguished_name=dn\nattributes=at\nreq_extensions=ex\n\
         [dn]\nC=DE\n0.OU=one\n1.OU=two\nCN=device-1\n\
         [at]\nchallengePassword=s3cret\nunstructuredName=box\n\
         [ex]\nsubjectAltName=DNS:device-1.example,IP:10.0.0.1\nbasicConstraints=CA:TRUE\n",
    )
    .unwrap();
    for kind in ["rsa:2048", "ec", "ed25519"] {
        let mut args = vec!["req", "-new", "-nodes", "-newkey", kind, "-config", &config];
        args.extend(["-keyout", &key, "-out", &csr, "-outform", "DER"]);
        if kind == "ec" {
            args.extend(["-pkeyopt", "ec_paramgen_curve:P-384"]);
        }
        let (done, text) = run("openssl", &args, b"");
        assert!(done, "{text}");
        let csr = read(&std::fs::read(&csr).unwrap()).unwrap();
        assert_eq!(csr.verify_possession(), Ok(()));
        assert_eq!(csr.challenge().unwrap().unwrap().expose(), b"s3cret");
        let oids: Vec<String> = csr.extensions().iter().map(|e| e.oid.to_string()).collect();
        assert_eq!(oids, ["2.5.29.17", "2.5.29.19"]);
        let unstructured = crate::pki::name::attribute_type("unstructuredName").unwrap();
        let values: Vec<&[u8]> = csr.attribute(unstructured).collect();
        assert_eq!(values, [b"\x0c\x03box"]);
        assert_eq!(crate::pki::name::display(csr.subject()), "C=DE,OU=one,OU=two,CN=device-1");
    }
}

#[test]
fn openssl_reads_what_the_fixtures_write() {
    let attributes = [challenge(Tag::PrintableString, b"x")];
    for attributes in [None, Some(&attributes[..])] {
        let der = request(&p256_key(), &common_name("device"), attributes);
        let (done, text) = run("openssl", &["req", "-inform", "DER", "-noout", "-verify"], &der);
        assert!(done && text.contains("verify OK"), "{text}");
    }
}

#[test]
fn missing_and_empty_attributes_are_fine() {
    for attributes in [None, Some(&[][..])] {
        let csr = read(&request(&rsa_key(), &common_name("a"), attributes)).unwrap();
        assert_eq!(csr.verify_possession(), Ok(()));
        assert!(csr.challenge().unwrap().is_none() && csr.extensions().is_empty());
    }
}

#[test]
fn challenge_in_every_string_type() {
    let bmp: Vec<u8> = "pä€".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let cases: [(Tag, &[u8], &str); 5] = [
        (Tag::PrintableString, b"p_w@1", "p_w@1"), // not PrintableString's alphabet; sent anyway
        (Tag::Utf8String, "pä€".as_bytes(), "pä€"),
        (Tag::Ia5String, b"p@1", "p@1"),
        (Tag::TeletexString, b"p\xe4", "pä"),
        (Tag::BmpString, &bmp, "pä€"),
    ];
    for (tag, bytes, text) in cases {
        assert_eq!(challenge_of(&[challenge(tag, bytes)]), Ok(Some(text.into())));
    }
}

#[test]
fn challenge_repeats() {
    let (a, b) = (challenge(Tag::PrintableString, b"one"), challenge(Tag::Utf8String, b"one"));
    assert_eq!(challenge_of(&[a.clone(), b]), Ok(Some(b"one".to_vec())));
    let other = challenge(Tag::Utf8String, b"two");
    assert_eq!(challenge_of(&[a, other]), Err(CsrError::Challenge(ChallengeError::Ambiguous)));
    let both = [tlv(Tag::Utf8String, b"one"), tlv(Tag::Utf8String, b"two")];
    let two = attribute("1.2.840.113549.1.9.7", &both);
    assert_eq!(challenge_of(&[two]), Err(CsrError::Challenge(ChallengeError::Ambiguous)));
}

#[test]
fn challenge_that_is_none() {
    assert_eq!(challenge_of(&[challenge(Tag::Utf8String, b"")]), Ok(Some(vec![])));
    let not_text = [
        attribute("1.2.840.113549.1.9.7", &[]),
        challenge(Tag::Utf8String, &[0xff, 0xfe]),
        challenge(Tag::Ia5String, &[0x80]),
        challenge(Tag::BmpString, &[0xd8, 0x00]),
        challenge(Tag::BmpString, &[0x00]),
        challenge(Tag::OctetString, b"one"),
    ];
    for value in not_text {
        assert_eq!(challenge_of(&[value]), Err(CsrError::Challenge(ChallengeError::NotText)));
    }
    let long = challenge(Tag::Utf8String, &[b'a'; 8193]);
    assert_eq!(challenge_of(&[long]), Err(CsrError::Challenge(ChallengeError::TooLong)));
    let longest = challenge(Tag::Utf8String, &[b'a'; 8192]);
    assert_eq!(challenge_of(&[longest]), Ok(Some(vec![b'a'; 8192])));
}

#[test]
fn nothing_shows_the_challenge() {
    let secret = [challenge(Tag::Utf8String, b"hunter2")];
    let csr = read(&request(&rsa_key(), &common_name("a"), Some(&secret))).unwrap();
    assert!(!format!("{csr:?}").contains("hunter2"));
}

#[test]
fn microsoft_extension_request_is_understood() {
    let list = seq(&[&extension("2.5.29.17", false, &seq(&[&general_name(2, b"a.example")]))]);
    let twin = attribute("1.3.6.1.4.1.311.2.1.14", std::slice::from_ref(&list));
    let own = attribute("1.2.840.113549.1.9.14", &[list]);
    for attributes in [vec![twin.clone()], vec![own, twin.clone()]] {
        let csr = read(&request(&rsa_key(), &common_name("a"), Some(&attributes))).unwrap();
        assert_eq!(csr.extensions().len(), 1);
    }
    let different = extension_request(&[extension("2.5.29.15", true, &[3, 2, 5, 0xa0])]);
    let der = request(&rsa_key(), &common_name("a"), Some(&[twin, different]));
    assert!(matches!(read(&der), Err(CsrError::Ambiguous(_))));
}

#[test]
fn one_extension_twice_is_refused() {
    let usage = extension("2.5.29.15", true, &[3, 2, 5, 0xa0]);
    let der =
        request(&rsa_key(), &common_name("a"), Some(&[extension_request(&[usage.clone(), usage])]));
    assert!(matches!(read(&der), Err(CsrError::Ambiguous(_))));
}

#[test]
fn bounds_hold() {
    let key = rsa_key();
    let some = |n| vec![attribute("1.3.6.1.4.1.311.13.2.1", &[vec![5, 0]]); n];
    assert!(read(&request(&key, &common_name("a"), Some(&some(MAX_ATTRIBUTES)))).is_ok());
    let many = request(&key, &common_name("a"), Some(&some(MAX_ATTRIBUTES + 1)));
    assert!(matches!(read(&many), Err(CsrError::TooLarge { what: "attributes", found: 9, .. })));
    let values = attribute("1.2.3", &vec![vec![5, 0]; 9]);
    let der = request(&key, &common_name("a"), Some(&[values]));
    assert!(matches!(read(&der), Err(CsrError::TooLarge { .. })));
    let large = request(&key, &common_name(&"a".repeat(MAX_REQUEST)), None);
    assert!(matches!(read(&large), Err(CsrError::TooLarge { what: "bytes", .. })));
    let extensions = vec![extension("1.2.3", false, &[5, 0]); 65];
    let der = request(&key, &common_name("a"), Some(&[extension_request(&extensions)]));
    assert!(matches!(read(&der), Err(CsrError::TooLarge { what: "requested extensions", .. })));
}

/// A request whose information is `parts`, self-signed.
fn of_parts(parts: &[&[u8]]) -> Vec<u8> {
    let info = seq(parts);
    let signature = sign(&rsa_key(), RSA_SHA256, &info);
    crate::pki::signed(&info, RSA_SHA256, &signature).unwrap()
}

#[test]
fn structure_is_strict() {
    let spki = rsa_key().public_key_to_der().unwrap();
    let subject = common_name("a");
    let none = tlv(context(0, true), &[]);
    assert!(read(&of_parts(&[&[2, 1, 0], &subject, &spki, &none])).is_ok());
    let refused: [&[&[u8]]; 9] = [
        &[&[2, 1, 1], &subject, &spki, &none],            // version 1
        &[&[2, 2, 0, 0], &subject, &spki, &none],         // version not minimal
        &[&[4, 1, 0], &subject, &spki, &none],            // version not INTEGER
        &[&subject, &spki, &none],                        // no version
        &[&[2, 1, 0], &subject, &spki, &none, &none],     // attributes twice
        &[&[2, 1, 0], &subject, &spki, &[0xa1, 0]],       // [1]
        &[&[2, 1, 0], &[0x31, 0], &spki, &none],          // subject a SET
        &[&[2, 1, 0], &[0x30, 2, 0x31, 0], &spki, &none], // empty RDN
        &[&[2, 1, 0], &subject, &subject, &none],         // no key
    ];
    for parts in refused {
        assert!(read(&of_parts(parts)).is_err(), "{}", hex::encode(seq(parts)));
    }
    let good = request(&rsa_key(), &subject, None);
    assert!(read(&[good.as_slice(), &[0]].concat()).is_err());
    assert!(read(&[]).is_err() && read(&[0x30, 0x80, 0, 0]).is_err() && read(&[0x30, 0]).is_err());
}

#[test]
fn possession_is_proven_by_the_own_key_alone() {
    let csr = read(&request(&rsa_key(), &common_name("a"), None)).unwrap();
    assert_eq!(csr.verify_possession(), Ok(()));
    assert_eq!(csr.signature_algorithm(), RSA_SHA256);
    let (good, bad) = ([2, 1, 0], common_name("b"));
    let spki = rsa_key().public_key_to_der().unwrap();
    let signature = sign(&rsa_key(), RSA_SHA256, &seq(&[&good, &common_name("a"), &spki]));
    let changed = crate::pki::signed(&seq(&[&good, &bad, &spki]), RSA_SHA256, &signature).unwrap();
    let mismatch = Err(CsrError::Signature(SignatureError::Mismatch));
    assert_eq!(read(&changed).unwrap().verify_possession(), mismatch);
    let stranger = p256_key();
    let info = seq(&[&[2, 1, 0], &common_name("a"), &stranger.public_key_to_der().unwrap()]);
    let signature = sign(&rsa_key(), RSA_SHA256, &info);
    let foreign = crate::pki::signed(&info, RSA_SHA256, &signature).unwrap();
    let wrong = Err(CsrError::Signature(SignatureError::WrongKey));
    assert_eq!(read(&foreign).unwrap().verify_possession(), wrong);
}

#[test]
fn weak_self_signatures_are_named() {
    let sha1 = SignatureAlgorithm::RsaPkcs1(Digest::Sha1);
    let csr = read(&request_signed(&rsa_key(), sha1, &common_name("a"), None)).unwrap();
    assert_eq!((csr.signature_algorithm(), csr.verify_possession()), (sha1, Ok(())));
    let md5 = SignatureAlgorithm::RsaPkcs1(Digest::Md5);
    let csr = read(&request_signed(&rsa_key(), md5, &common_name("a"), None)).unwrap();
    assert!(csr.verify_possession().is_err());
}

#[test]
fn every_kind_of_key_proves_possession() {
    let curves = [Nid::X9_62_PRIME256V1, Nid::SECP384R1, Nid::SECP521R1];
    let ed25519 = PKey::generate_ed25519().unwrap();
    for key in curves.into_iter().map(ec_key).chain([ed25519]) {
        let csr = read(&request(&key, &common_name("a"), None)).unwrap();
        assert_eq!(csr.verify_possession(), Ok(()));
    }
}

#[test]
fn truncated_is_refused() {
    let attributes =
        [challenge(Tag::Utf8String, b"x"), alternative_names(&[general_name(2, b"a")])];
    let der = request(&rsa_key(), &common_name("a"), Some(&attributes));
    for cut in 0..der.len() {
        assert!(read(&der[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn no_flipped_bit_panics_or_passes() {
    let attributes =
        [challenge(Tag::Utf8String, b"x"), alternative_names(&[general_name(2, b"a")])];
    let der = request(&p256_key(), &common_name("a"), Some(&attributes));
    for i in 0..der.len() * 8 {
        let mut changed = der.clone();
        changed[i / 8] ^= 1 << (i % 8);
        if let Ok(csr) = read(&changed) {
            assert_eq!(csr.der(), changed);
            assert!(csr.verify_possession().is_err(), "bit {i}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn rubbish_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn rubbish_inside_never_panics(content in prop::collection::vec(any::<u8>(), 0..80), at in 0..3) {
        let spki = rsa_key().public_key_to_der().unwrap();
        let attributes = tlv(context(0, true), &content);
        let request = match at {
            0 => of_parts(&[&[2, 1, 0], &common_name("a"), &spki, &attributes]),
            1 => of_parts(&[&[2, 1, 0], &tlv(Tag::Sequence, &content), &spki]),
            _ => of_parts(&[&[2, 1, 0], &common_name("a"), &spki,
                &tlv(context(0, true), &attribute("1.2.840.113549.1.9.14", std::slice::from_ref(&content)))]),
        };
        let _ = read(&request);
    }
}
