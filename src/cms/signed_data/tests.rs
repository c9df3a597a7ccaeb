use super::super::testing::{
    Counting, Message, by_key_identifier, device, ec_device, openssl_in, ra,
};
use super::super::{Attribute, UnsignedData, certs_only, crl_only, tlv};
use super::*;
use crate::pki::{Digest, SignatureAlgorithm};
use crate::random::Random;

/// Reads a message and verifies it with the certificate that it carries.
fn verify(message: &[u8]) -> Result<(SignedData, Certificate), CmsError> {
    let signed = SignedData::from_ber(message, &Limits::default())?;
    let certificate = signed.signer_certificate()?;
    let content = signed.content().unwrap_or_default();
    signed.signer().unwrap().verify(signed.content_type(), content, certificate.public_key())?;
    Ok((signed, certificate))
}

fn text(message: &Message) -> String {
    match verify(&message.build()) {
        Ok(_) => "accepted".into(),
        Err(e) => e.to_string(),
    }
}

fn simple() -> Message {
    Message::new(device(), b"content".to_vec())
}

fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// An attribute `1.2.3.n` with an INTEGER.
fn attribute(n: u8) -> Attribute {
    Attribute::new(oid(&format!("1.2.3.{n}")), vec![tag::INTEGER, 1, n])
}

#[test]
fn reads_what_openssl_signs() {
    let dir = tempfile::tempdir().unwrap();
    ra().write(dir.path(), "ra");
    ec_device().write(dir.path(), "ec");
    std::fs::write(dir.path().join("data"), b"some data").unwrap();
    let sign = "cms -sign -binary -nodetach -in data -outform DER";
    for options in [
        "-signer ra.pem -inkey ra.key",
        "-signer ra.pem -inkey ra.key -stream",
        "-signer ra.pem -inkey ra.key -keyid -stream",
        "-signer ra.pem -inkey ra.key -md sha1",
        "-signer ra.pem -inkey ra.key -md md5",
        "-signer ra.pem -inkey ra.key -md sha384 -certfile ec.pem",
        "-signer ra.pem -inkey ra.key -md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:digest",
        "-signer ra.pem -inkey ra.key -md sha512 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:digest",
        "-signer ec.pem -inkey ec.key -md sha256",
        "-signer ec.pem -inkey ec.key -md sha512 -keyid -nosmimecap -cades",
    ] {
        let message = openssl_in(dir.path(), &format!("{sign} {options}"));
        let (signed, certificate) = verify(&message).unwrap_or_else(|e| panic!("{options}: {e}"));
        assert_eq!(signed.content(), Some(b"some data".as_slice()));
        let signer = if options.starts_with("-signer ra") { ra() } else { ec_device() };
        assert_eq!(certificate, signer.certificate);
    }
    let two = format!("{sign} -signer ra.pem -inkey ra.key -signer ec.pem -inkey ec.key");
    let two = SignedData::from_ber(&openssl_in(dir.path(), &two), &Limits::default());
    assert!(matches!(two, Err(CmsError::TooMany { what: "SignerInfo", limit: 1 })));
    let bare = format!("{sign} -signer ra.pem -inkey ra.key -noattr");
    let bare = SignedData::from_ber(&openssl_in(dir.path(), &bare), &Limits::default());
    assert!(bare.unwrap_err().to_string().contains("signed attributes"));
}

#[test]
fn openssl_reads_what_we_sign() {
    let dir = tempfile::tempdir().unwrap();
    for (signer, chain) in [(ra(), vec![]), (ec_device(), vec![&ra().certificate])] {
        for digest in [Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512] {
            let content = b"content".to_vec();
            let data = UnsignedData::new(Some(content), vec![attribute(1)], digest).unwrap();
            let algorithm = data.signature_algorithm(signer.kind());
            let signature = signer.sign(algorithm, data.to_be_signed());
            let message = data.assemble(&signature, &signer.certificate, &chain);
            let (signed, _) = verify(&message).unwrap();
            assert_eq!(signed.certificates().len(), 1 + chain.len());
            std::fs::write(dir.path().join("message"), &message).unwrap();
            let out = "cms -verify -noverify -binary -inform DER -in message";
            assert_eq!(openssl_in(dir.path(), out), b"content");
            // Strict in the sense of OpenSSL's own encoder, too.
            let der = openssl_in(dir.path(), "cms -cmsout -inform DER -in message -outform DER");
            assert_eq!(der, message);
        }
    }
}

#[test]
fn row_031_certs_only_leaves_the_content_out() {
    let dir = tempfile::tempdir().unwrap();
    let bag = certs_only(&[&ra().certificate, &device().certificate, &ec_device().certificate]);
    let signed = SignedData::from_ber(&bag, &Limits::default()).unwrap();
    let all = [ra(), device(), ec_device()].map(|i| i.certificate.der());
    assert_eq!(signed.certificates(), all, "the order is kept");
    assert!(signed.content().is_none() && signed.signer().is_none() && signed.crls().is_empty());
    // SEQUENCE { version 1, SET {}, SEQUENCE { id-data }, ...
    let inside = hex::encode(&bag);
    assert!(inside.contains("0201013100300b06092a864886f70d010701a0"), "{inside}");
    assert!(inside.ends_with("3100"));
    std::fs::write(dir.path().join("bag"), &bag).unwrap();
    let out = openssl_in(dir.path(), "pkcs7 -inform DER -in bag -print_certs -noout");
    // OpenSSL 3.2 and later write no spaces around the equals sign.
    let shown = String::from_utf8(out).unwrap().replace(' ', "");
    let place = |name: &str| shown.find(name).unwrap();
    assert!(place("CN=RA") < place("CN=device") && place("CN=device") < place("CN=ec"));

    let crl = tlv(tag::SEQUENCE, &[&[tag::INTEGER, 1, 1]]);
    let signed = SignedData::from_ber(&crl_only(&crl), &Limits::default()).unwrap();
    assert_eq!(signed.crls(), [crl]);
    assert!(signed.certificates().is_empty());
}

#[test]
fn row_034_old_clients_sign_the_order_they_send() {
    let many = |m: &mut Message| m.attributes = (1..6).map(attribute).collect();
    for (sorted, reversed) in [(true, false), (true, true), (false, true)] {
        let message = simple().with(many).with(|m| (m.sorted, m.reversed) = (sorted, reversed));
        assert_eq!(text(&message), "accepted", "sorted {sorted}, reversed {reversed}");
    }
}

#[test]
fn row_039_row_040_the_signer_is_found_by_its_identifier() {
    let others = [ra(), ec_device()].map(|i| i.certificate.der().to_vec());
    let chain = |m: &mut Message| m.certificates.splice(0..0, others.clone()).for_each(drop);
    assert_eq!(text(&simple().with(chain)), "accepted");
    let by_key = |m: &mut Message| m.sid = by_key_identifier(&device().certificate);
    assert_eq!(text(&simple().with(chain).with(by_key)), "accepted", "v1 has no SKI extension");
    let other = |m: &mut Message| m.sid = by_key_identifier(&ra().certificate);
    assert!(text(&simple().with(chain).with(other)).contains("does not verify"));
    assert!(text(&simple().with(other)).contains("not in the message"));
    assert!(text(&simple().with(|m| m.certificates = vec![])).contains("not in the message"));
    // The issuer's Name in other string types is the same Name; with another serial it is nobody's.
    let (own, serial) = (device().certificate.issuer(), device().certificate.serial().content());
    let printable: Vec<u8> =
        own.iter().map(|b| if *b == tag::UTF8_STRING { 0x13 } else { *b }).collect();
    assert_ne!(printable, own);
    let rewritten =
        |serial: &[u8]| tlv(tag::SEQUENCE, &[&printable, &tlv(tag::INTEGER, &[serial])]);
    assert_eq!(text(&simple().with(|m| m.sid = rewritten(serial))), "accepted");
    assert!(
        text(&simple().with(|m| m.sid = rewritten(&serial[1..]))).contains("not in the message")
    );
    // An unreadable certificate beside the right one does no harm, alone it is named.
    let junk = vec![0x30, 0x03, 0x02, 0x01, 0x01];
    assert_eq!(text(&simple().with(|m| m.certificates.push(junk.clone()))), "accepted");
    assert!(text(&simple().with(|m| m.certificates = vec![junk])).contains("unreadable"));
}

#[test]
fn t11_the_signer_is_not_ambiguous() {
    let own = device().certificate.der().to_vec();
    assert_eq!(text(&simple().with(|m| m.certificates.push(own.clone()))), "accepted");
    let mut twin = own;
    *twin.last_mut().unwrap() ^= 1; // the same names and key, another signature
    assert!(text(&simple().with(|m| m.certificates.push(twin))).contains("two different"));
    let two = simple().with(|m| m.signer_infos = 2);
    assert!(text(&two).contains("more than 1 SignerInfo"));
    assert!(text(&simple().with(|m| m.signer_infos = 0)).contains("not signed"));
}

#[test]
fn t10_the_attributes_are_about_the_content() {
    assert!(text(&simple().with(|m| m.bare = true)).contains("contentType is missing"));
    let one = |oid_text: &str, value: Vec<u8>| {
        let attribute = Attribute::new(oid(oid_text), value);
        simple().with(|m| (m.bare, m.attributes) = (true, vec![attribute]))
    };
    let data = tlv(tag::OID, &[ID_DATA.as_bytes()]);
    let hash = tlv(tag::OCTET_STRING, &[&Digest::Sha256.hash(b"content").unwrap()]);
    let (content_type, digest) = ("1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4");
    assert!(text(&one(content_type, data.clone())).contains("messageDigest is missing"));
    assert!(text(&one(digest, hash.clone())).contains("contentType is missing"));
    let signed_data = tlv(tag::OID, &[ID_SIGNED_DATA.as_bytes()]);
    let both = |a: Vec<u8>, b: Vec<u8>| {
        one(content_type, a).with(|m| m.attributes.push(Attribute::new(oid(digest), b)))
    };
    assert_eq!(text(&both(data.clone(), hash.clone())), "accepted");
    assert!(text(&both(signed_data, hash)).contains("another type of content"));
    let wrong = tlv(tag::OCTET_STRING, &[&[0; 32]]);
    assert!(text(&both(data.clone(), wrong)).contains("does not match"));
    let short = tlv(tag::OCTET_STRING, &[&Digest::Sha256.hash(b"content").unwrap()[..31]]);
    assert!(text(&both(data, short)).contains("does not match"));
    // Content that was signed without attributes cannot be passed off as attributes: those of the
    // attacker's choice are never a SignedData's content and its attributes at once.
    let set = simple().with(|m| m.content = Some(vec![tag::SET, 0]));
    let signed = SignedData::from_ber(&set.build(), &Limits::default()).unwrap();
    let key = device().certificate.public_key();
    assert!(signed.signer().unwrap().verify(ID_DATA, b"", key).is_err());
}

#[test]
fn t02_no_attribute_twice() {
    let twice = simple().with(|m| m.attributes = vec![attribute(1), attribute(1)]);
    assert!(text(&twice).contains("1.2.3.1 is there twice"));
    let other = Attribute::new(oid("1.2.3.1"), vec![tag::INTEGER, 1, 9]);
    let twice = simple().with(|m| m.attributes = vec![attribute(1), other]);
    assert!(text(&twice).contains("1.2.3.1 is there twice"));
    // One attribute with two values: fine where nobody asks for it, refused where somebody does.
    let two = vec![tag::INTEGER, 1, 1, tag::INTEGER, 1, 2];
    let message = simple().with(|m| m.attributes = vec![Attribute::new(oid("1.2.3.1"), two)]);
    let (signed, _) = verify(&message.build()).unwrap();
    assert!(signed.signer().unwrap().attribute(oid("1.2.3.1"), "it").is_err());
    assert!(signed.signer().unwrap().attribute(oid("1.2.3.2"), "it").unwrap().is_none());
}

#[test]
fn algorithms_in_all_their_spellings() {
    let der = |text: &str| {
        let oid = oid(text);
        tlv(tag::SEQUENCE, &[&tlv(tag::OID, &[oid.as_bytes()])])
    };
    let null = |mut der: Vec<u8>| {
        der[1] += 2;
        [der.as_slice(), &[5, 0]].concat()
    };
    let rsa = der("1.2.840.113549.1.1.1");
    for (digest, signature) in [
        (null(simple().digest), rsa.clone()),
        (simple().digest, null(rsa.clone())),
        (simple().digest, der("1.2.840.113549.1.1.11")),
    ] {
        let message = simple().with(|m| (m.digest, m.signature) = (digest, signature));
        assert_eq!(text(&message), "accepted");
    }
    let ec = |signature: Vec<u8>| {
        text(&Message::new(ec_device(), b"x".to_vec()).with(|m| m.signature = signature))
    };
    assert_eq!(ec(der("1.2.840.10045.4.3.2")), "accepted");
    assert_eq!(ec(der("1.2.840.10045.2.1")), "accepted");
    assert!(ec(der("1.2.840.10045.4.3.4")).contains("contradicts"));
    assert!(ec(rsa).contains("does not fit the key"));
    // Contradictions and the unknown.
    let with = |signature: &str| text(&simple().with(|m| m.signature = der(signature)));
    assert!(with("1.2.840.113549.1.1.13").contains("contradicts"));
    assert!(with("1.2.840.113549.1.1.14").contains("signature algorithm 1.2.840.113549.1.1.14"));
    assert!(with("1.2.840.10040.4.3").contains("not supported"));
    let sha224 = der("2.16.840.1.101.3.4.2.4");
    assert!(text(&simple().with(|m| m.digest = sha224)).contains("digest algorithm 2.16"));
    for digest in Digest::ALL {
        assert_eq!(text(&simple().with_digest(digest)), "accepted", "{digest}");
    }
}

#[test]
fn row_034_algorithm_protection_must_agree() {
    let protection = |digest: &[u8], signature: &[u8]| {
        let signature = tlv(tag::CONTEXT_1, &[&signature[2..]]);
        let value = tlv(tag::SEQUENCE, &[digest, &signature]);
        Attribute::new(oid("1.2.840.113549.1.9.52"), value)
    };
    let of = |digest: Digest, signature: Digest| {
        let (own, name) = (simple(), Message::new(device(), vec![]).with_digest(digest).digest);
        let signature = SignatureAlgorithm::RsaPkcs1(signature).identifier_der();
        text(&own.with(|m| m.attributes = vec![protection(&name, &signature)]))
    };
    assert_eq!(of(Digest::Sha256, Digest::Sha256), "accepted");
    assert!(of(Digest::Sha512, Digest::Sha256).contains("CMSAlgorithmProtection"));
    assert!(of(Digest::Sha256, Digest::Sha512).contains("CMSAlgorithmProtection"));
    let junk = Attribute::new(oid("1.2.840.113549.1.9.52"), vec![5, 0]);
    assert!(text(&simple().with(|m| m.attributes = vec![junk])).contains("CMSAlgorithmProtection"));
}

#[test]
fn row_053_t62_everything_is_bounded() {
    let junk = vec![0x30, 0];
    let bag = |n: usize| simple().with(|m| m.certificates.extend(vec![junk.clone(); n]));
    assert_eq!(text(&bag(7)), "accepted");
    assert_eq!(text(&bag(8)), "the message holds more than 8 certificates");
    let attributes = |n: u8| simple().with(|m| m.attributes = (0..n).map(attribute).collect());
    assert_eq!(text(&attributes(14)), "accepted");
    assert_eq!(text(&attributes(15)), "the message holds more than 16 signed attributes");
    let big = simple().with(|m| m.content = Some(vec![0; 64 * 1024]));
    assert!(text(&big).contains("more than the 65536 allowed"));
    let mut noise = vec![0; 4096];
    Counting::new().fill(&mut noise).unwrap();
    assert!(SignedData::from_ber(&noise, &Limits::default()).is_err());
}
