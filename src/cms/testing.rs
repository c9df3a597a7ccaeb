//! For the tests of `cms` and `scep`: identities, the openssl command, BER made out of DER.

mod message;

pub(crate) use message::{Message, by_key_identifier};

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::Signer;
use openssl::x509::extension::{KeyUsage, SubjectKeyIdentifier};
use openssl::x509::{X509, X509Name};

use super::asn1::{Fields, push_length, tag};
use crate::pki::{Certificate, Digest, KeyKind, SignatureAlgorithm};
use crate::random::{Random, RandomError};

/// A private key and its self-signed certificate.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) key: PKey<Private>,
    pub(crate) certificate: Certificate,
}

/// What a certificate looks like.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) serial: Vec<u8>,
    pub(crate) v1: bool,
    pub(crate) ski: bool,
}

impl Identity {
    pub(crate) fn new(key: PKey<Private>, shape: &Shape) -> Self {
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("O", "Test").unwrap();
        name.append_entry_by_text("CN", shape.name).unwrap();
        let name = name.build();
        let mut b = X509::builder().unwrap();
        b.set_version(if shape.v1 { 0 } else { 2 }).unwrap();
        let serial = BigNum::from_slice(&shape.serial).unwrap().to_asn1_integer().unwrap();
        b.set_serial_number(&serial).unwrap();
        b.set_subject_name(&name).unwrap();
        b.set_issuer_name(&name).unwrap();
        b.set_not_before(&Asn1Time::from_unix(1_700_000_000).unwrap()).unwrap();
        b.set_not_after(&Asn1Time::from_unix(4_800_000_000).unwrap()).unwrap();
        b.set_pubkey(&key).unwrap();
        if shape.ski {
            let ski = SubjectKeyIdentifier::new().build(&b.x509v3_context(None, None)).unwrap();
            b.append_extension(ski).unwrap();
        }
        if !shape.v1 {
            let usage = KeyUsage::new().digital_signature().key_encipherment().build().unwrap();
            b.append_extension(usage).unwrap();
        }
        b.sign(&key, Digest::Sha256.openssl()).unwrap();
        let certificate = Certificate::from_der(&b.build().to_der().unwrap()).unwrap();
        Self { key, certificate }
    }

    /// A signature as CMS wants it.
    pub(crate) fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Vec<u8> {
        let digest = algorithm.digest().unwrap();
        let mut signer = Signer::new(digest.openssl(), &self.key).unwrap();
        if let SignatureAlgorithm::RsaPss(d) = algorithm {
            signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
            signer.set_rsa_mgf1_md(d.openssl()).unwrap();
            signer.set_rsa_pss_saltlen(openssl::sign::RsaPssSaltlen::DIGEST_LENGTH).unwrap();
        }
        signer.update(message).unwrap();
        signer.sign_to_vec().unwrap()
    }

    /// What an HSM does: the bare RSA operation.
    pub(crate) fn raw_rsa(&self, ciphertext: &[u8]) -> Vec<u8> {
        let rsa = self.key.rsa().unwrap();
        let mut out = vec![0; rsa.size() as usize];
        let len = rsa.private_decrypt(ciphertext, &mut out, Padding::NONE).unwrap();
        assert_eq!(len, out.len());
        out
    }

    pub(crate) fn kind(&self) -> KeyKind {
        self.certificate.public_key().kind()
    }

    /// `key.pem` and `cert.pem` under `name` in `folder`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        let key = self.key.private_key_to_pem_pkcs8().unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), self.certificate.to_pem()).unwrap();
    }
}

pub(crate) fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

pub(crate) fn p256() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// The RA: RSA-2048, an SKI, a serial of 16 octets.
pub(crate) fn ra() -> &'static Identity {
    static RA: OnceLock<Identity> = OnceLock::new();
    RA.get_or_init(|| {
        let shape = Shape { name: "RA", serial: vec![0x11; 16], v1: false, ski: true };
        Identity::new(rsa(2048), &shape)
    })
}

/// A device like certmonger's: X.509 v1 and a serial of 33 octets.
pub(crate) fn device() -> &'static Identity {
    static DEVICE: OnceLock<Identity> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let shape = Shape { name: "device", serial: vec![0xfe; 32], v1: true, ski: false };
        Identity::new(rsa(2048), &shape)
    })
}

/// A device with an EC key.
pub(crate) fn ec_device() -> &'static Identity {
    static DEVICE: OnceLock<Identity> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let shape = Shape { name: "ec", serial: vec![1], v1: false, ski: true };
        Identity::new(p256(), &shape)
    })
}

/// Runs the openssl command in `folder`; it must succeed. Gives what it printed.
pub(crate) fn openssl_in(folder: &Path, arguments: &str) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the openssl command is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {errors}");
    output.stdout
}

/// Random bytes that a test can predict: a counter under SHA-256.
pub(crate) struct Counting(std::sync::atomic::AtomicU64);

impl Counting {
    pub(crate) const fn new() -> Self {
        Self(std::sync::atomic::AtomicU64::new(1))
    }
}

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        for chunk in buffer.chunks_mut(32) {
            let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let block = openssl::sha::sha256(&n.to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

/// The same value as `der` in some other BER: `choose` decides at each element between definite
/// and indefinite lengths, minimal and padded ones, whole and segmented OCTET STRINGs.
pub(crate) fn ber_of(der: &[u8], choose: &mut dyn FnMut() -> u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut fields = Fields::new(der, "test").unwrap();
    while !fields.is_finished() {
        let element = fields.next("test").unwrap();
        if element.tag == tag::OCTET_STRING && choose() & 1 == 1 {
            let at = usize::from(choose()) % (element.content.len() + 1);
            let (a, b) = element.content.split_at(at);
            let first = super::tlv(tag::OCTET_STRING, &[a]);
            let first = if b.is_empty() { first } else { ber_of(&first, choose) };
            let second = ber_of(&super::tlv(tag::OCTET_STRING, &[b]), &mut || 0);
            push(&mut out, 0x24, &[first, second].concat(), choose());
        } else if element.tag & 0x20 != 0 {
            push(&mut out, element.tag, &ber_of(element.content, choose), choose());
        } else {
            push(&mut out, element.tag, element.content, choose() & !1);
        }
    }
    out
}

fn push(out: &mut Vec<u8>, tag: u8, content: &[u8], how: u8) {
    out.push(tag);
    match how & 3 {
        1 => {
            out.push(0x80);
            out.extend_from_slice(content);
            out.extend_from_slice(&[0, 0]);
            return;
        }
        // OpenSSL refuses a padded length at the very end of what surrounds it.
        2 if !content.is_empty() => {
            out.push(0x85);
            out.extend_from_slice(&[0]);
            out.extend_from_slice(&(content.len() as u32).to_be_bytes());
        }
        _ => push_length(out, content.len()),
    }
    out.extend_from_slice(content);
}
