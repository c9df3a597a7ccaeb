//! PKCS#10 requests in every shape: with and without attributes, with a challenge in any string
//! type, with what Microsoft's clients add, with extensions that nobody should grant.

use super::algorithms::Digest;
use super::certificate::{self, CN};
use super::der::{self, Reader, tag};
use super::keys::Key;
use crate::error::Result;

const CHALLENGE_PASSWORD: &str = "1.2.840.113549.1.9.7";
const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";
const MICROSOFT_EXTENSION_REQUEST: &str = "1.3.6.1.4.1.311.2.1.14";

/// A certification request before it is signed.
#[derive(Clone, Debug)]
pub struct Csr {
    /// The subject, a Name in DER.
    pub subject: Vec<u8>,
    /// The version (0 is the only right one).
    pub version: u64,
    /// The attributes, each a whole Attribute in DER.
    pub attributes: Vec<Vec<u8>>,
    /// Whether the `[0]` of the attributes is there at all.
    pub attributes_field: bool,
    /// The digest of the signature.
    pub digest: Digest,
    /// Whether the signature is spoilt after it was made.
    pub bad_signature: bool,
    /// Bytes after the end.
    pub trailing: Vec<u8>,
    /// The SubjectPublicKeyInfo to claim instead of the key's own.
    pub public_key: Option<Vec<u8>>,
}

impl Csr {
    /// A plain request for `common_name`, without attributes.
    pub fn new(common_name: &str) -> Self {
        Self::with_subject(der::name(&[(CN, common_name)]))
    }

    /// A plain request for a subject in DER.
    pub fn with_subject(subject: Vec<u8>) -> Self {
        Self {
            subject,
            version: 0,
            attributes: Vec::new(),
            attributes_field: true,
            digest: Digest::Sha256,
            bad_signature: false,
            trailing: Vec::new(),
            public_key: None,
        }
    }

    /// Adds a challenge password as UTF8String, as OpenSSL 3 does.
    pub fn challenge(self, password: &str) -> Self {
        self.challenge_as(tag::UTF8, password.as_bytes())
    }

    /// Adds a challenge password as BMPString.
    pub fn challenge_bmp(self, password: &str) -> Self {
        let utf16: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
        self.challenge_as(tag::BMP, &utf16)
    }

    /// Adds a challenge password with any string tag and content.
    pub fn challenge_as(self, tag: u8, content: &[u8]) -> Self {
        self.attribute(CHALLENGE_PASSWORD, &[der::tlv(tag, content)])
    }

    /// Adds an attribute.
    pub fn attribute(mut self, oid: &str, values: &[Vec<u8>]) -> Self {
        self.attributes.push(der::attribute(oid, values));
        self
    }

    /// Asks for extensions, each a whole Extension in DER.
    pub fn extensions(self, extensions: &[Vec<u8>]) -> Self {
        self.attribute(EXTENSION_REQUEST, &[der::tlv(tag::SEQUENCE, &extensions.concat())])
    }

    /// The same under Microsoft's attribute type.
    pub fn microsoft_extensions(self, extensions: &[Vec<u8>]) -> Self {
        self.attribute(
            MICROSOFT_EXTENSION_REQUEST,
            &[der::tlv(tag::SEQUENCE, &extensions.concat())],
        )
    }

    /// Asks for DNS names in a subjectAltName.
    pub fn dns_names(self, names: &[&str]) -> Self {
        let list: Vec<u8> = names.iter().flat_map(|n| der::tlv(0x82, n.as_bytes())).collect();
        let san = der::tlv(tag::SEQUENCE, &list);
        self.extensions(&[certificate::extension("2.5.29.17", false, &san)])
    }

    /// Adds one of the name and value pairs that Windows sends for Intune.
    pub fn microsoft_pair(self, name: &str, value: &str) -> Self {
        let bmp = |text: &str| {
            let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            der::tlv(tag::BMP, &utf16)
        };
        self.attribute("1.3.6.1.4.1.311.13.2.1", &[der::seq(&[&bmp(name), &bmp(value)])])
    }

    /// Adds what the Windows MDM client adds: OS version, client information, CSP.
    pub fn microsoft_attributes(self) -> Self {
        let bmp = |text: &str| {
            let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            der::tlv(tag::BMP, &utf16)
        };
        let utf8 = |text: &str| der::tlv(tag::UTF8, text.as_bytes());
        let client = der::seq(&[&der::int(5), &utf8("PC-1"), &utf8("PC\\user"), &utf8("mdm.exe")]);
        let csp = der::seq(&[&der::int(1), &bmp("Microsoft Software KSP"), &der::bits(&[])]);
        let version = der::tlv(tag::IA5, b"10.0.22631.2");
        self.attribute("1.3.6.1.4.1.311.13.2.3", &[version])
            .attribute("1.3.6.1.4.1.311.21.20", &[client])
            .attribute("1.3.6.1.4.1.311.13.2.2", &[csp])
            .microsoft_pair("ValidityPeriod", "Years")
    }

    /// The request over `key`, signed by it.
    pub fn build(&self, key: &Key) -> Result<Vec<u8>> {
        let spki = match &self.public_key {
            Some(spki) => spki.clone(),
            None => key.public_key_to_der()?,
        };
        let attributes = match self.attributes_field {
            true => {
                let mut sorted = self.attributes.clone();
                sorted.sort();
                der::ctx(0, &sorted.concat())
            }
            false => Vec::new(),
        };
        let info = der::seq(&[&der::int(self.version), &self.subject, &spki, &attributes]);
        let mut signature = certificate::sign(key, self.digest, &info)?;
        if self.bad_signature
            && let Some(last) = signature.last_mut()
        {
            *last ^= 1;
        }
        let algorithm = certificate::signature_identifier(key, self.digest);
        let mut out = der::seq(&[&info, &algorithm, &der::bits(&signature)]);
        out.extend(&self.trailing);
        Ok(out)
    }
}

/// The SubjectPublicKeyInfo of a PKCS#10 request.
pub fn public_key(request: &[u8]) -> Result<Vec<u8>> {
    let mut info = Reader(request).expect(tag::SEQUENCE, "CertificationRequest")?.inside();
    let mut inside = info.expect(tag::SEQUENCE, "CertificationRequestInfo")?.inside();
    inside.expect(tag::INTEGER, "version")?;
    inside.expect(tag::SEQUENCE, "subject")?;
    Ok(inside.expect(tag::SEQUENCE, "subjectPKInfo")?.raw.to_vec())
}

#[cfg(test)]
mod tests {
    use openssl::nid::Nid;
    use openssl::x509::X509Req;

    use super::*;
    use crate::client::keys;

    fn verifies(csr: &Csr, key: &Key) -> bool {
        X509Req::from_der(&csr.build(key).unwrap()).unwrap().verify(key).unwrap_or(false)
    }

    #[test]
    fn openssl_verifies_every_shape_but_the_spoilt_one() {
        let key = keys::pooled(2048, 0).unwrap();
        let plain = Csr::new("device-1");
        assert!(verifies(&plain, &key));
        assert!(verifies(&Csr { attributes_field: false, ..plain.clone() }, &key));
        assert!(verifies(
            &plain.clone().challenge("a").challenge_bmp("a").microsoft_attributes(),
            &key
        ));
        assert!(verifies(&plain.clone().dns_names(&["a.example", "b.example"]), &key));
        assert!(verifies(&plain, &keys::fresh_ec(Nid::X9_62_PRIME256V1).unwrap()));
        let der = plain.build(&key).unwrap();
        assert_eq!(public_key(&der).unwrap(), key.public_key_to_der().unwrap());
        assert!(!verifies(&Csr { bad_signature: true, ..plain }, &key));
    }
}
