//! Keys and requests for tests. Requests are written by hand, element by element, so that any
//! fault can be put into them.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use der::{Encode, Tag};
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;

pub(crate) use crate::pki::asn1::context;
use crate::pki::asn1::{element, oid, sequence};
use crate::pki::{Digest, PublicKey, SignatureAlgorithm};

/// An RSA-2048 key, the same throughout a test process.
pub(crate) fn rsa_key() -> PKey<Private> {
    static KEY: OnceLock<PKey<Private>> = OnceLock::new();
    KEY.get_or_init(|| PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()).clone()
}

/// A new EC key.
pub(crate) fn ec_key(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A new P-256 key.
pub(crate) fn p256_key() -> PKey<Private> {
    ec_key(Nid::X9_62_PRIME256V1)
}

/// The public half of `key`.
pub(crate) fn public(key: &PKey<Private>) -> PublicKey {
    PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap()
}

/// A signature of `key` over `message`, by the algorithm's digest; PKCS#1 v1.5, ECDSA, Ed25519.
pub(crate) fn sign(key: &PKey<Private>, algorithm: SignatureAlgorithm, message: &[u8]) -> Vec<u8> {
    match algorithm.digest() {
        Some(digest) => Signer::new(digest.openssl(), key).unwrap(),
        None => Signer::new_without_digest(key).unwrap(),
    }
    .sign_oneshot_to_vec(message)
    .unwrap()
}

/// A SEQUENCE of `parts`.
pub(crate) fn seq(parts: &[&[u8]]) -> Vec<u8> {
    sequence(parts).unwrap()
}

/// An element with `tag`.
pub(crate) fn tlv(tag: Tag, content: &[u8]) -> Vec<u8> {
    element(tag, &[content]).unwrap()
}

/// A Name of one attribute a relative distinguished name.
pub(crate) fn name(attributes: &[(&str, Tag, &[u8])]) -> Vec<u8> {
    let rdns = attributes.iter().map(|a| tlv(Tag::Set, &attribute_value(a)));
    seq(&[&rdns.collect::<Vec<_>>().concat()])
}

/// An AttributeTypeAndValue.
pub(crate) fn attribute_value((kind, tag, value): &(&str, Tag, &[u8])) -> Vec<u8> {
    let kind = crate::pki::name::attribute_type(kind).unwrap();
    seq(&[&kind.to_der().unwrap(), &tlv(*tag, value)])
}

/// A Name with a common name alone.
pub(crate) fn common_name(text: &str) -> Vec<u8> {
    name(&[("CN", Tag::Utf8String, text.as_bytes())])
}

/// An attribute of a request, with DER values.
pub(crate) fn attribute(kind: &str, values: &[Vec<u8>]) -> Vec<u8> {
    seq(&[&oid(kind).to_der().unwrap(), &tlv(Tag::Set, &values.concat())])
}

/// A challengePassword attribute.
pub(crate) fn challenge(tag: Tag, text: &[u8]) -> Vec<u8> {
    attribute("1.2.840.113549.1.9.7", &[tlv(tag, text)])
}

/// One extension.
pub(crate) fn extension(kind: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { true.to_der().unwrap() } else { vec![] };
    seq(&[&oid(kind).to_der().unwrap(), &critical, &tlv(Tag::OctetString, value)])
}

/// An extensionRequest attribute.
pub(crate) fn extension_request(extensions: &[Vec<u8>]) -> Vec<u8> {
    attribute("1.2.840.113549.1.9.14", &[seq(&[&extensions.concat()])])
}

/// A GeneralName with the primitive tag `[number]`.
pub(crate) fn general_name(number: u32, content: &[u8]) -> Vec<u8> {
    tlv(context(number, false), content)
}

/// An extensionRequest that asks for alternative names.
pub(crate) fn alternative_names(names: &[Vec<u8>]) -> Vec<u8> {
    extension_request(&[extension("2.5.29.17", false, &seq(&[&names.concat()]))])
}

/// A request with these parts; None leaves the [0] out.
pub(crate) fn request(
    key: &PKey<Private>,
    subject: &[u8],
    attributes: Option<&[Vec<u8>]>,
) -> Vec<u8> {
    request_signed(key, public(key).kind().default_signature(), subject, attributes)
}

/// The same with the self-signature's algorithm.
pub(crate) fn request_signed(
    key: &PKey<Private>,
    algorithm: SignatureAlgorithm,
    subject: &[u8],
    attributes: Option<&[Vec<u8>]>,
) -> Vec<u8> {
    let spki = key.public_key_to_der().unwrap();
    let attributes = attributes.map(|a| tlv(context(0, true), &a.concat())).unwrap_or_default();
    let info = seq(&[&[2, 1, 0], subject, &spki, &attributes]);
    let signature = sign(key, algorithm, &info);
    crate::pki::signed(&info, algorithm, &signature).unwrap()
}

/// SHA-256 with RSA.
pub(crate) const RSA_SHA256: SignatureAlgorithm = SignatureAlgorithm::RsaPkcs1(Digest::Sha256);

/// Runs a program with `input`; its output and error output together, and whether it succeeded.
pub(crate) fn run(program: &str, args: &[&str], input: &[u8]) -> (bool, String) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}
