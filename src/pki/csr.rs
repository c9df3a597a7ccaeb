//! PKCS#10 certification requests (RFC 2986), read tolerantly where real clients need it: the `[0]`
//! attributes may be missing, unknown attributes are kept, Microsoft's twin of extensionRequest is
//! understood, equal repeats count once. Everything else is strict DER within small bounds.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use der::{Decode, Encode, Tag, Tagged};

use super::asn1::{context, inside, oid, text};
use super::certificate::read_extension_list;
use super::{Extension, KeyError, PublicKey, SignatureAlgorithm, SignatureError, name};
use crate::secret::Secret;

/// The largest request that is read, in bytes.
pub const MAX_REQUEST: usize = 16 * 1024;
/// The largest number of attributes in a request.
pub const MAX_ATTRIBUTES: usize = 8;
/// The longest challenge password, in bytes of UTF-8.
pub const MAX_CHALLENGE: usize = 8 * 1024;
/// The largest number of requested extensions.
pub const MAX_EXTENSIONS: usize = 64;

const CHALLENGE_PASSWORD: ObjectIdentifier = oid("1.2.840.113549.1.9.7");
const EXTENSION_REQUEST: ObjectIdentifier = oid("1.2.840.113549.1.9.14");
const MICROSOFT_EXTENSION_REQUEST: ObjectIdentifier = oid("1.3.6.1.4.1.311.2.1.14");

/// A PKCS#10 request whose structure is sound. Its self-signature is checked by
/// [`verify_possession`](Self::verify_possession), its key by the key policy, its names by the profile.
#[derive(Clone)]
pub struct CertificateRequest {
    der: Vec<u8>,
    info: std::ops::Range<usize>,
    subject: Vec<u8>,
    public_key: PublicKey,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    challenge: Result<Option<Secret>, ChallengeError>,
    extensions: Vec<Extension>,
    attributes: Vec<Attribute>,
}

#[derive(Clone)]
struct Attribute {
    oid: ObjectIdentifier,
    /// Each value, a whole DER element.
    values: Vec<Vec<u8>>,
}

/// Why a request was not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// The bytes are no PKCS#10 request in DER.
    #[error("this is not a PKCS#10 request in DER: {0}")]
    Malformed(String),
    /// A bound is exceeded.
    #[error("the PKCS#10 request has {found} {what}, more than {limit}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much was found.
        found: usize,
        /// How much is allowed.
        limit: usize,
    },
    /// The version is not 0 (v1).
    #[error("the PKCS#10 request has a version other than 0")]
    Version,
    /// Something that may stand there once stands there twice with different contents.
    #[error("the PKCS#10 request carries {0} twice, with different contents")]
    Ambiguous(&'static str),
    /// The challenge password cannot be used.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// The public key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The self-signature's algorithm is unknown or the self-signature does not verify.
    #[error("proof of possession: {0}")]
    Signature(#[from] SignatureError),
}

/// Why a challenge password could not be read. Says nothing of its content (I11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Two different challenge passwords.
    #[error("the PKCS#10 request carries two different challenge passwords")]
    Ambiguous,
    /// The attribute is empty, or its value is no text.
    #[error("the challenge password is not a string of text")]
    NotText,
    /// It is longer than [`MAX_CHALLENGE`].
    #[error("the challenge password is longer than {MAX_CHALLENGE} bytes")]
    TooLong,
}

impl From<der::Error> for CsrError {
    fn from(e: der::Error) -> Self {
        Self::Malformed(e.to_string())
    }
}

fn malformed<T>(what: &str) -> Result<T, CsrError> {
    Err(CsrError::Malformed(what.into()))
}

impl CertificateRequest {
    /// Reads one request in DER; nothing may follow it. The self-signature is not yet verified.
    pub fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        limit("bytes", der.len(), MAX_REQUEST)?;
        let outer = AnyRef::from_der(der)?;
        let start = der.len() - outer.value().len();
        let [info, algorithm, signature] = inside(outer, Tag::Sequence)?[..] else {
            return malformed("it does not have its three parts");
        };
        let info_range = start..start + usize::try_from(info.encoded_len()?)?;
        let algorithm = read_algorithm(algorithm)?;
        let signature = signature.decode_as::<BitStringRef<'_>>()?;
        let Some(signature) = signature.as_bytes() else {
            return malformed("its signature is not a whole number of bytes");
        };

        let (fields, attributes) = match inside(info, Tag::Sequence)?[..] {
            [version, subject, key] => ([version, subject, key], None),
            [version, subject, key, attributes] => ([version, subject, key], Some(attributes)),
            _ => return malformed("its information does not have three or four parts"),
        };
        let [version, subject, key] = fields;
        version.tag().assert_eq(Tag::Integer)?;
        if version.value() != [0] {
            return Err(CsrError::Version);
        }
        let subject = subject.to_der()?;
        if let Err(e) = name::attributes(&subject) {
            return malformed(&format!("its subject is no name: {e}"));
        }
        let public_key = PublicKey::from_spki(&key.to_der()?)?;
        let attributes = match attributes {
            Some(set) => read_attributes(set)?,
            None => Vec::new(),
        };
        Ok(Self {
            der: der.to_vec(),
            info: info_range,
            subject,
            public_key,
            algorithm,
            signature: signature.to_vec(),
            challenge: read_challenge(&attributes),
            extensions: requested_extensions(&attributes)?,
            attributes,
        })
    }

    /// The whole request in DER, as it came. It holds the challenge password, if there is one.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject's Name in DER, as it came.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The key that is to be certified.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The algorithm of the self-signature; whether it is good enough is a matter of policy.
    pub const fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Verifies the self-signature: whoever made the request has the private key (RFC 2986
    /// section 3, note 2). MD5 never counts as proof.
    pub fn verify_possession(&self) -> Result<(), CsrError> {
        if self.algorithm.digest() == Some(super::Digest::Md5) {
            return Err(SignatureError::UnknownAlgorithm(self.algorithm.to_string()).into());
        }
        let info = &self.der[self.info.clone()];
        Ok(self.public_key.verify(self.algorithm, info, &self.signature)?)
    }

    /// The challenge password (RFC 2985 section 5.4.1) in UTF-8, whatever string type carried it;
    /// it may be empty. Equal repeats are one, two different ones are an error.
    pub fn challenge(&self) -> Result<Option<&Secret>, CsrError> {
        self.challenge.as_ref().map(Option::as_ref).map_err(|e| CsrError::Challenge(*e))
    }

    /// The requested extensions, each type once; wishes of the client and nothing more.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The requested extension with this OID.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&Extension> {
        self.extensions.iter().find(|e| e.oid == oid)
    }

    /// The values of every attribute with this OID, each a DER element, in order.
    pub fn attribute(&self, oid: ObjectIdentifier) -> impl Iterator<Item = &[u8]> {
        let found = self.attributes.iter().filter(move |a| a.oid == oid);
        found.flat_map(|a| a.values.iter().map(Vec::as_slice))
    }

    /// SHA-256 of the whole request: its identity among repeats of a transaction.
    pub fn fingerprint(&self) -> [u8; 32] {
        openssl::sha::sha256(&self.der)
    }
}

impl std::fmt::Debug for CertificateRequest {
    /// Without the bytes: they hold the challenge password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fingerprint = self.fingerprint();
        write!(f, "CertificateRequest({:?}, {})", self.public_key, hex::encode(&fingerprint[..8]))
    }
}

const fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), CsrError> {
    if found > limit { Err(CsrError::TooLarge { what, found, limit }) } else { Ok(()) }
}

fn read_algorithm(any: AnyRef<'_>) -> Result<SignatureAlgorithm, CsrError> {
    let (oid, parameters) = match inside(any, Tag::Sequence)?[..] {
        [oid] => (oid, None),
        [oid, parameters] => (oid, Some(parameters.to_der()?)),
        _ => return malformed("its signature algorithm is no AlgorithmIdentifier"),
    };
    let oid = oid.decode_as::<ObjectIdentifier>()?;
    Ok(SignatureAlgorithm::from_identifier(oid, parameters.as_deref())?)
}

/// The `[0]` IMPLICIT SET OF Attribute; its order is not insisted on, clients differ.
fn read_attributes(set: AnyRef<'_>) -> Result<Vec<Attribute>, CsrError> {
    let attributes = inside(set, context(0, true))?;
    limit("attributes", attributes.len(), MAX_ATTRIBUTES)?;
    let mut out = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        let [oid, values] = inside(attribute, Tag::Sequence)?[..] else {
            return malformed("an attribute does not have its two parts");
        };
        let oid = oid.decode_as::<ObjectIdentifier>()?;
        let values = inside(values, Tag::Set)?;
        limit("values in one attribute", values.len(), MAX_ATTRIBUTES)?;
        let values = values.iter().map(Encode::to_der).collect::<Result<_, _>>()?;
        out.push(Attribute { oid, values });
    }
    Ok(out)
}

fn read_challenge(attributes: &[Attribute]) -> Result<Option<Secret>, ChallengeError> {
    let mut found: Option<Secret> = None;
    for attribute in attributes.iter().filter(|a| a.oid == CHALLENGE_PASSWORD) {
        if attribute.values.is_empty() {
            return Err(ChallengeError::NotText);
        }
        for value in &attribute.values {
            let any = AnyRef::from_der(value).map_err(|_| ChallengeError::NotText)?;
            let text = text(any.tag(), any.value()).ok_or(ChallengeError::NotText)?;
            let secret = Secret::new(text.into_bytes());
            if secret.len() > MAX_CHALLENGE {
                return Err(ChallengeError::TooLong);
            }
            match &found {
                Some(first) if !first.ct_eq(secret.expose()) => {
                    return Err(ChallengeError::Ambiguous);
                }
                _ => found = Some(secret),
            }
        }
    }
    Ok(found)
}

fn requested_extensions(attributes: &[Attribute]) -> Result<Vec<Extension>, CsrError> {
    let requests = attributes
        .iter()
        .filter(|a| a.oid == EXTENSION_REQUEST || a.oid == MICROSOFT_EXTENSION_REQUEST)
        .flat_map(|a| &a.values);
    let mut found: Option<Vec<Extension>> = None;
    for value in requests {
        let list = read_extension_list(value)
            .map_err(|e| CsrError::Malformed(format!("its extension request: {e}")))?;
        limit("requested extensions", list.len(), MAX_EXTENSIONS)?;
        for (i, extension) in list.iter().enumerate() {
            if list[..i].iter().any(|e| e.oid == extension.oid) {
                return Err(CsrError::Ambiguous("a requested extension"));
            }
        }
        match &found {
            Some(first) if *first != list => {
                return Err(CsrError::Ambiguous("an extension request"));
            }
            _ => found = Some(list),
        }
    }
    Ok(found.unwrap_or_default())
}
