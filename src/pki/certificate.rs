//! A tolerant view of any certificate. Devices sign their requests with certificates that strict
//! readers refuse (X.509 v1, serials of 33 octets, a critical AKI), so what is read here is only
//! what SCEP needs; nothing is trusted because it could be read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::{
    AnyRef, BitStringRef, ContextSpecific, GeneralizedTime, ObjectIdentifier, UtcTime,
};
use der::{Decode, Encode, Reader, Sequence, SliceReader, Tag, TagNumber, Tagged};

use super::{KeyError, PublicKey, SerialNumber, SignatureAlgorithm, SignatureError};
use crate::clock::Timestamp;

/// A certificate, read tolerantly, with its own bytes.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: std::ops::Range<usize>,
    serial: SerialNumber,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    public_key: PublicKey,
    extensions: Vec<Extension>,
    algorithm: Result<SignatureAlgorithm, String>,
    signature: Vec<u8>,
}

/// One extension, its value still in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The object identifier.
    pub oid: ObjectIdentifier,
    /// Whether it is marked critical.
    pub critical: bool,
    /// The content of extnValue.
    pub value: Vec<u8>,
}

/// Why a certificate could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are no certificate.
    #[error("this is not a certificate: {0}")]
    Malformed(String),
    /// The certificate holds a key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<der::Error> for CertificateError {
    fn from(e: der::Error) -> Self {
        Self::Malformed(e.to_string())
    }
}

#[derive(Sequence)]
struct Algorithm<'a> {
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'a>>,
}

impl Certificate {
    /// Reads one certificate in DER; nothing may follow it.
    ///
    /// What OpenSSL cannot read is refused too: other programs must not see another certificate in
    /// these bytes, or none (docs/threats.md t22).
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        openssl::x509::X509::from_der(der)
            .map_err(|e| CertificateError::Malformed(e.to_string()))?;
        let outer = AnyRef::from_der(der)?;
        let header_len = der.len() - outer.value().len();
        let mut reader = body(&outer, Tag::Sequence)?;
        let tbs_start = header_len;
        let tbs = reader.tlv_bytes()?;
        let algorithm = Algorithm::decode(&mut reader)?;
        let signature = BitStringRef::decode(&mut reader)?.as_bytes().unwrap_or_default().to_vec();
        finish(&reader)?;
        let parameters = algorithm.parameters.map(|p| p.to_der()).transpose()?;
        let algorithm = SignatureAlgorithm::from_identifier(algorithm.oid, parameters.as_deref())
            .map_err(|_| algorithm.oid.to_string());

        let tbs_any = AnyRef::from_der(tbs)?;
        let mut reader = body(&tbs_any, Tag::Sequence)?;
        ContextSpecific::<AnyRef<'_>>::decode_explicit(&mut reader, TagNumber(0))?;
        let serial = AnyRef::decode(&mut reader)?;
        if serial.tag() != Tag::Integer || serial.value().is_empty() {
            return Err(CertificateError::Malformed("its serial number is no INTEGER".into()));
        }
        let serial = SerialNumber::from_content(serial.value());
        reader.tlv_bytes()?; // signature: the outer copy is the one that is verified against
        let issuer = reader.tlv_bytes()?.to_vec();
        let validity = AnyRef::decode(&mut reader)?;
        let mut times = body(&validity, Tag::Sequence)?;
        let (not_before, not_after) = (time(&mut times)?, time(&mut times)?);
        let subject = reader.tlv_bytes()?.to_vec();
        let public_key = PublicKey::from_spki(reader.tlv_bytes()?)?;
        let mut extensions = Vec::new();
        while !reader.is_finished() {
            let part = AnyRef::decode(&mut reader)?;
            if part.tag() == (Tag::ContextSpecific { constructed: true, number: TagNumber(3) }) {
                extensions = read_extension_list(part.value())?;
            }
        }
        let tbs = tbs_start..tbs_start + tbs.len();
        Ok(Self {
            tbs,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            public_key,
            extensions,
            algorithm,
            signature,
            der: der.to_vec(),
        })
    }

    /// Reads a file's content: the first certificate of a PEM text, or one in DER.
    pub fn from_file(content: &[u8]) -> Result<Self, CertificateError> {
        let is_pem =
            content.starts_with(b"-----") || content.windows(11).any(|w| w == b"-----BEGIN ");
        if is_pem { Self::from_pem(content) } else { Self::from_der(content) }
    }

    /// Reads the first certificate of a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let all = Self::all_from_pem(pem)?;
        all.into_iter()
            .next()
            .ok_or_else(|| CertificateError::Malformed("the PEM text holds no certificate".into()))
    }

    /// Reads every certificate of a PEM text, in order; what stands between them is skipped. Not by
    /// OpenSSL, which writes an odd encoding anew: the signature is over the octets as they came.
    pub fn all_from_pem(pem: &[u8]) -> Result<Vec<Self>, CertificateError> {
        const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
        const END: &str = "-----END CERTIFICATE-----";
        let text = String::from_utf8_lossy(pem);
        let (mut rest, mut all) = (&*text, Vec::new());
        while let Some((_, begun)) = rest.split_once(BEGIN) {
            let (body, after) = begun.split_once(END).ok_or_else(|| {
                CertificateError::Malformed(format!("the PEM text lacks the line {END}"))
            })?;
            let base64: String = body.split_whitespace().collect();
            let der = STANDARD.decode(base64).map_err(|e| {
                CertificateError::Malformed(format!("the PEM text is not base64: {e}"))
            })?;
            all.push(Self::from_der(&der)?);
            rest = after;
        }
        Ok(all)
    }

    /// The whole certificate in DER, as it came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate in PEM, with a final newline.
    pub fn to_pem(&self) -> String {
        super::pem("CERTIFICATE", &self.der)
    }

    /// The TBSCertificate in DER, as it came.
    pub fn tbs(&self) -> &[u8] {
        &self.der[self.tbs.clone()]
    }

    /// The serial number.
    pub const fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// The issuer's Name in DER, as it came.
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// The subject's Name in DER, as it came.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The first moment of validity.
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The last second of validity.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The subject's key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The extensions, in order; none in X.509 v1.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The value of the first extension with this OID.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&Extension> {
        self.extensions.iter().find(|e| e.oid == oid)
    }

    /// The subject key identifier, where the certificate carries one.
    pub fn subject_key_identifier(&self) -> Option<Vec<u8>> {
        let extension = self.extension(ObjectIdentifier::new_unwrap("2.5.29.14"))?;
        let value = AnyRef::from_der(&extension.value).ok()?;
        (value.tag() == Tag::OctetString).then(|| value.value().to_vec())
    }

    /// The bits of the keyUsage extension (bit 0, digitalSignature, is the lowest), where there is one.
    pub fn key_usage(&self) -> Option<u16> {
        let extension = self.extension(ObjectIdentifier::new_unwrap("2.5.29.15"))?;
        let bits = BitStringRef::from_der(&extension.value).ok()?;
        Some(
            bits.bits()
                .enumerate()
                .take(16)
                .fold(0, |all, (i, set)| if set { all | 1 << i } else { all }),
        )
    }

    /// SHA-256 of the whole certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        openssl::sha::sha256(&self.der)
    }

    /// Whether issuer and subject are the same name.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// Verifies that `issuer` signed this certificate; says nothing about names, dates or rights.
    pub fn verify_signature(&self, issuer: &PublicKey) -> Result<(), SignatureError> {
        let algorithm = self.algorithm.clone().map_err(SignatureError::UnknownAlgorithm)?;
        issuer.verify(algorithm, self.tbs(), &self.signature)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate(serial {}, {})", self.serial, hex::encode(&self.fingerprint()[..8]))
    }
}

fn body<'a>(any: &AnyRef<'a>, tag: Tag) -> Result<SliceReader<'a>, CertificateError> {
    any.tag().assert_eq(tag)?;
    Ok(SliceReader::new(any.value())?)
}

fn finish(reader: &SliceReader<'_>) -> Result<(), CertificateError> {
    if reader.is_finished() {
        Ok(())
    } else {
        Err(CertificateError::Malformed("bytes follow its end".into()))
    }
}

/// A UTCTime or GeneralizedTime (RFC 5280 section 4.1.2.5).
fn time(reader: &mut SliceReader<'_>) -> Result<Timestamp, CertificateError> {
    let any = AnyRef::decode(reader)?;
    let seconds = match any.tag() {
        Tag::UtcTime => any.decode_as::<UtcTime>()?.to_unix_duration(),
        _ => any.decode_as::<GeneralizedTime>()?.to_unix_duration(),
    };
    Ok(Timestamp::from_unix_seconds(seconds.as_secs()))
}

/// Reads `Extensions` (RFC 5280 section 4.1): a SEQUENCE of extensions, in DER. Types may repeat.
pub(super) fn read_extension_list(der: &[u8]) -> Result<Vec<Extension>, CertificateError> {
    let list = AnyRef::from_der(der)?;
    let mut reader = body(&list, Tag::Sequence)?;
    let mut out = Vec::new();
    while !reader.is_finished() {
        let one = AnyRef::decode(&mut reader)?;
        let mut fields = body(&one, Tag::Sequence)?;
        let oid = ObjectIdentifier::decode(&mut fields)?;
        let next = AnyRef::decode(&mut fields)?;
        let (critical, value) = match next.tag() {
            Tag::Boolean => (next.value() != [0], AnyRef::decode(&mut fields)?),
            _ => (false, next),
        };
        finish(&fields)?;
        value.tag().assert_eq(Tag::OctetString)?;
        out.push(Extension { oid, critical, value: value.value().to_vec() });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::asn1::Asn1Time;
    use openssl::bn::BigNum;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use openssl::x509::{X509, X509Name};

    /// A self-signed certificate with a serial of 33 octets and, where `v3`, extensions.
    fn odd(v3: bool) -> X509 {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", "SCEP Protocol Certificate").unwrap();
        let name = name.build();
        let mut b = X509::builder().unwrap();
        b.set_version(if v3 { 2 } else { 0 }).unwrap();
        let serial = BigNum::from_slice(&[0xff; 32]).unwrap();
        b.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
        b.set_subject_name(&name).unwrap();
        b.set_issuer_name(&name).unwrap();
        b.set_not_before(&Asn1Time::from_unix(1_700_000_000).unwrap()).unwrap();
        b.set_not_after(&Asn1Time::from_unix(4_800_000_000).unwrap()).unwrap();
        b.set_pubkey(&key).unwrap();
        if v3 {
            let ski = openssl::x509::extension::SubjectKeyIdentifier::new();
            let ski = ski.build(&b.x509v3_context(None, None)).unwrap();
            b.append_extension(ski).unwrap();
            let ku = openssl::x509::extension::KeyUsage::new()
                .digital_signature()
                .key_encipherment()
                .build()
                .unwrap();
            b.append_extension(ku).unwrap();
        }
        b.sign(&key, Digest::Sha256.openssl()).unwrap();
        b.build()
    }

    use super::super::Digest;

    #[test]
    fn reads_v1_with_a_long_serial() {
        let cert = Certificate::from_der(&odd(false).to_der().unwrap()).unwrap();
        assert_eq!(cert.serial().content().len(), 33);
        assert_eq!(cert.not_before(), Timestamp::from_unix_seconds(1_700_000_000));
        assert_eq!(cert.not_after(), Timestamp::from_unix_seconds(4_800_000_000));
        assert!(cert.is_self_issued() && cert.extensions().is_empty());
        assert_eq!(cert.verify_signature(&cert.public_key().clone()), Ok(()));
    }

    #[test]
    fn reads_extensions() {
        let x509 = odd(true);
        let cert = Certificate::from_pem(&x509.to_pem().unwrap()).unwrap();
        assert_eq!(
            cert.subject_key_identifier().unwrap(),
            x509.subject_key_id().unwrap().as_slice()
        );
        assert_eq!(cert.subject_key_identifier().unwrap(), cert.public_key().key_identifier());
        assert_eq!(cert.key_usage(), Some(0b101));
        assert_eq!(cert.der(), x509.to_der().unwrap());
        assert_eq!(cert.to_pem().as_bytes(), x509.to_pem().unwrap());
    }

    #[test]
    fn refuses_damage() {
        let der = odd(true).to_der().unwrap();
        for cut in 0..der.len() {
            assert!(Certificate::from_der(&der[..cut]).is_err());
        }
        assert!(Certificate::from_der(&[der.as_slice(), &[0]].concat()).is_err());
        let mut changed = der.clone();
        changed[der.len() - 1] ^= 1;
        let cert = Certificate::from_der(&changed).unwrap();
        assert_eq!(
            cert.verify_signature(&cert.public_key().clone()),
            Err(SignatureError::Mismatch)
        );
    }
}
