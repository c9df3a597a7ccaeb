//! The certificates that a configuration names: whether they can be what they are named for. The keys
//! in the token are looked at when the signer starts.

use std::path::Path;

use super::ca::Ca;
use super::model::Config;
use super::reader::Reader;
use crate::issuance::Issuer;
use crate::pki::Certificate;
use crate::pki::extension::KeyUsage;

/// Adds what is wrong with them. Files that cannot be read are told of elsewhere.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    for (name, ca) in &config.ca {
        check_ca(&format!("ca.{name}"), name.as_str(), ca, reader);
    }
}

fn check_ca(key: &str, name: &str, ca: &Ca, reader: &mut Reader<'_>) {
    let certificate = read(&format!("{key}.certificate"), &ca.certificate, reader);
    let chain = ca.chain.iter().enumerate();
    let chain = chain.map(|(index, path)| read(&format!("{key}.chain[{index}]"), path, reader));
    let chain: Vec<Option<Certificate>> = chain.collect();
    let ra = [
        ("ra_decryption", &ca.ra_decryption, KeyUsage::KEY_ENCIPHERMENT, "keyEncipherment"),
        ("ra_signing", &ca.ra_signing, KeyUsage::DIGITAL_SIGNATURE, "digitalSignature"),
    ];
    let ra = ra.map(|(part, settings, usage, usage_name)| {
        let key = format!("{key}.{part}.certificate");
        let certificate = read(&key, &settings.certificate, reader);
        (key, certificate, usage, usage_name)
    });
    let chain: Option<Vec<Certificate>> = chain.into_iter().collect();
    let (Some(certificate), Some(chain)) = (certificate, chain) else { return };
    let algorithm = certificate.public_key().kind().default_signature();
    let issuer = match Issuer::new(name, certificate, chain, algorithm) {
        Ok(issuer) => issuer,
        Err(e) => {
            let remedy = format!(
                "name the CA's own certificate in [{key}], and those above it in `chain`, the root last"
            );
            return reader.fail(&format!("{key}.certificate"), e.to_string(), remedy);
        }
    };
    for (key, certificate, usage, usage_name) in ra {
        let Some(certificate) = certificate else { continue };
        if let Err(problem) = issuer.check_ra(&certificate, usage, usage_name) {
            let remedy =
                format!("name the certificate with {usage_name} that this CA issued to its RA");
            reader.fail(&key, problem, remedy);
        }
    }
}

fn read(key: &str, path: &Path, reader: &mut Reader<'_>) -> Option<Certificate> {
    let content = std::fs::read(path).ok()?;
    match Certificate::from_file(&content) {
        Ok(certificate) => Some(certificate),
        Err(e) => {
            let problem = format!("{} holds no certificate: {e}", path.display());
            reader.fail(key, problem, "name a file with a certificate in PEM or DER");
            None
        }
    }
}

#[cfg(test)]
pub(in crate::config) mod tests {
    use openssl::asn1::{Asn1Integer, Asn1Time};
    use openssl::bn::BigNum;
    use openssl::hash::MessageDigest;
    use openssl::pkey::{PKey, Private};
    use openssl::rsa::Rsa;
    use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};
    use openssl::x509::{X509, X509Name};

    type Key = PKey<Private>;

    fn key() -> Key {
        PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
    }

    /// A certificate for `subject`, signed by the key of `issuer`; a CA's where `usage` says so.
    fn certificate(
        subject: (&str, &Key),
        issuer: (&str, &Key),
        usage: &KeyUsage,
        ca: bool,
    ) -> X509 {
        let name = |text: &str| {
            let mut name = X509Name::builder().unwrap();
            name.append_entry_by_text("CN", text).unwrap();
            name.build()
        };
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = Asn1Integer::from_bn(&BigNum::from_u32(7).unwrap()).unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&name(subject.0)).unwrap();
        builder.set_issuer_name(&name(issuer.0)).unwrap();
        builder.set_pubkey(subject.1).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(30).unwrap()).unwrap();
        builder.append_extension(usage.build().unwrap()).unwrap();
        if ca {
            let constraints = BasicConstraints::new().critical().ca().build().unwrap();
            builder.append_extension(constraints).unwrap();
        }
        let id = SubjectKeyIdentifier::new();
        let id = id.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(id).unwrap();
        builder.sign(issuer.1, MessageDigest::sha256()).unwrap();
        builder.build()
    }

    /// PEM files of a root that issues, by their names: `ca.pem`, `decryption.pem`, `signing.pem`.
    pub(in crate::config) fn authority() -> [(&'static str, Vec<u8>); 3] {
        let (ca, decryption, signing) = (key(), key(), key());
        let mut sign_certificates = KeyUsage::new();
        sign_certificates.key_cert_sign().crl_sign();
        let mut encipher = KeyUsage::new();
        encipher.key_encipherment();
        let mut sign = KeyUsage::new();
        sign.digital_signature();
        let issuer = ("ca", &ca);
        let pem = |c: X509| c.to_pem().unwrap();
        [
            ("ca.pem", pem(certificate(issuer, issuer, &sign_certificates, true))),
            ("decryption.pem", pem(certificate(("d", &decryption), issuer, &encipher, false))),
            ("signing.pem", pem(certificate(("s", &signing), issuer, &sign, false))),
        ]
    }
}
