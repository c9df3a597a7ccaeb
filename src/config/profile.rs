//! Certificate profiles: what a certificate says and which keys it may have.

use std::path::PathBuf;
use std::time::Duration;

use const_oid::ObjectIdentifier;
use serde::Serialize;
use toml::Spanned;
use toml::de::DeValue;

use super::error::quoted;
use super::reader::Reader;
use super::schema::{Setting, choice, section};
use super::suggest;
use crate::pki::KeyKind;

section! {
    /// What the certificates of an endpoint say. The subject's bytes are the request's; extensions come
    /// from here, and only the subject alternative names that `san` allows come from the request.
    pub struct Profile {
        /// How long a certificate is valid. It never outlives the CA's own certificate.
        validity: Duration ["1m", "36500d"] = "365d",
        /// Whether a request may ask for a shorter time, as Windows devices do for Intune (the pairs
        /// ValidityPeriod and ValidityPeriodUnits). A longer one is never given.
        shorter_validity: bool = false,
        /// How far before the time of issue a certificate begins, for devices with slow clocks.
        backdate: Duration ["0s", "7d"] = "1h",
        /// The key usages, critical. For a key that cannot encrypt (EC), keyEncipherment is left out.
        key_usage: Vec<KeyUsage> = ["digitalSignature", "keyEncipherment"],
        /// The extended key usages, by name or object identifier. Empty leaves the extension out.
        extended_key_usage: Vec<ExtendedKeyUsage> = ["clientAuth"],
        /// The keys that devices may have.
        key_types: Vec<KeyType> = ["rsa-2048", "rsa-3072", "rsa-4096", "p-256", "p-384"],
        /// Whether an RSA modulus is tested for being itself a prime, which takes longer than all other checks
        /// of a key together: about 1.5 ms of processor time for RSA-2048. A prime modulus harms its own device
        /// alone, and no generator makes one by accident.
        prime_test: bool = true,
        /// What is asked of the subject.
        subject: SubjectRules = {},
        /// Which subject alternative names are taken from the request.
        san: SanRules = {},
        /// Whether basicConstraints is written out (CA:FALSE), for clients that look for it.
        basic_constraints: bool = false,
        /// Whether the request's own signature may be made with SHA-1, for devices that can do no better.
        sha1_requests: bool = false,
        /// Files that list keys which are refused because somebody else has them: Debian's of 2006 to 2008,
        /// leaked ones. A line is the beginning of the SHA-256 of a SubjectPublicKeyInfo, 16 to 64
        /// hexadecimal digits (docs/keys.md).
        key_blocklists: Vec<PathBuf> = [],
        /// Where the CRL is fetched (CRL distribution points), `http://` URLs.
        crl_urls: Vec<HttpUrl> = [],
        /// Where the CA's certificate is fetched (authority information access), `http://` URLs.
        aia_urls: Vec<HttpUrl> = [],
    }
}

section! {
    /// What is asked of a request's subject. Its bytes are kept as they are.
    pub struct SubjectRules {
        /// Whether the subject may be empty. A certificate without one needs a subject alternative name.
        allow_empty: bool = false,
        /// The attributes that must be there.
        required: Vec<SubjectAttribute> = [],
        /// The attributes that may be there; without it all that have a name here.
        allowed: Option<Vec<SubjectAttribute>>,
        /// Whether old string types (T61String, BMPString) are taken, as some embedded devices send them.
        legacy_strings: bool = false,
    }
}

section! {
    /// Which subject alternative names are taken from the request.
    pub struct SanRules {
        /// The kinds of names that are taken.
        allowed: Vec<SanKind> = [],
        /// What happens to a request with names of other kinds.
        others: OtherNames = "refuse",
        /// Whether there must be at least one name.
        required: bool = false,
        /// The domains in which DNS names and the hosts of e-mail addresses and user principal names must
        /// lie (`example.org` takes itself and what is below it). Empty takes any.
        domains: Vec<String> = [],
        /// Whether DNS names may have a wildcard.
        wildcards: bool = false,
    }
}

choice! {
    /// What happens to a request with alternative names of kinds that are not allowed.
    pub enum OtherNames ("one of") {
        /// It is refused.
        Refuse = "refuse",
        /// They are left out of the certificate.
        Drop = "drop",
    }
}

choice! {
    /// A bit of the key usage extension (RFC 5280 section 4.2.1.3). A device signs no certificates
    /// and no CRLs, so keyCertSign and cRLSign are not here.
    pub enum KeyUsage ("one of the key usages") {
        /// Signatures other than on certificates.
        DigitalSignature = "digitalSignature",
        /// Signatures that are to bind.
        NonRepudiation = "nonRepudiation",
        /// RSA key transport.
        KeyEncipherment = "keyEncipherment",
        /// Encryption of data itself.
        DataEncipherment = "dataEncipherment",
        /// Key agreement.
        KeyAgreement = "keyAgreement",
    }
}

choice! {
    /// A kind of key that a device may have.
    pub enum KeyType ("one of the key types") {
        /// RSA with 2048 bits.
        Rsa2048 = "rsa-2048",
        /// RSA with 3072 bits.
        Rsa3072 = "rsa-3072",
        /// RSA with 4096 bits.
        Rsa4096 = "rsa-4096",
        /// EC on P-256.
        P256 = "p-256",
        /// EC on P-384.
        P384 = "p-384",
        /// EC on P-521.
        P521 = "p-521",
    }
}

impl KeyType {
    /// The key as the rest of the program names it.
    pub const fn kind(self) -> KeyKind {
        match self {
            Self::Rsa2048 => KeyKind::Rsa(2048),
            Self::Rsa3072 => KeyKind::Rsa(3072),
            Self::Rsa4096 => KeyKind::Rsa(4096),
            Self::P256 => KeyKind::P256,
            Self::P384 => KeyKind::P384,
            Self::P521 => KeyKind::P521,
        }
    }
}

choice! {
    /// A kind of subject alternative name (RFC 5280 section 4.2.1.6).
    pub enum SanKind ("one of the kinds of names") {
        /// A DNS name.
        Dns = "dns",
        /// An e-mail address.
        Email = "email",
        /// An IP address.
        Ip = "ip",
        /// A URI.
        Uri = "uri",
        /// A user principal name, Microsoft's otherName for a user's or machine's account. A domain
        /// controller logs its holder in as that account: allow it only where a one-time challenge or an
        /// officer says who may have which.
        Upn = "upn",
    }
}

choice! {
    /// An attribute of a subject (X.520, RFC 4519).
    pub enum SubjectAttribute ("one of the attributes") {
        /// commonName.
        CommonName = "CN",
        /// surname.
        Surname = "SN",
        /// serialNumber, of a device, not of a certificate.
        SerialNumber = "serialNumber",
        /// countryName.
        Country = "C",
        /// localityName.
        Locality = "L",
        /// stateOrProvinceName.
        State = "ST",
        /// streetAddress.
        Street = "street",
        /// organizationName.
        Organization = "O",
        /// organizationalUnitName.
        OrganizationalUnit = "OU",
        /// title.
        Title = "title",
        /// postalCode.
        PostalCode = "postalCode",
        /// givenName.
        GivenName = "GN",
        /// initials.
        Initials = "initials",
        /// dnQualifier.
        DnQualifier = "dnQualifier",
        /// pseudonym.
        Pseudonym = "pseudonym",
        /// userId.
        UserId = "UID",
        /// domainComponent.
        DomainComponent = "DC",
        /// emailAddress (PKCS#9).
        Email = "emailAddress",
        /// unstructuredName (PKCS#9), which Cisco devices send.
        UnstructuredName = "unstructuredName",
        /// unstructuredAddress (PKCS#9).
        UnstructuredAddress = "unstructuredAddress",
    }
}

impl SubjectAttribute {
    /// The attribute's object identifier.
    pub const fn oid(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::CommonName => "2.5.4.3",
            Self::Surname => "2.5.4.4",
            Self::SerialNumber => "2.5.4.5",
            Self::Country => "2.5.4.6",
            Self::Locality => "2.5.4.7",
            Self::State => "2.5.4.8",
            Self::Street => "2.5.4.9",
            Self::Organization => "2.5.4.10",
            Self::OrganizationalUnit => "2.5.4.11",
            Self::Title => "2.5.4.12",
            Self::PostalCode => "2.5.4.17",
            Self::GivenName => "2.5.4.42",
            Self::Initials => "2.5.4.43",
            Self::DnQualifier => "2.5.4.46",
            Self::Pseudonym => "2.5.4.65",
            Self::UserId => "0.9.2342.19200300.100.1.1",
            Self::DomainComponent => "0.9.2342.19200300.100.1.25",
            Self::Email => "1.2.840.113549.1.9.1",
            Self::UnstructuredName => "1.2.840.113549.1.9.2",
            Self::UnstructuredAddress => "1.2.840.113549.1.9.8",
        })
    }
}

/// An extended key usage (RFC 5280 section 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedKeyUsage(pub ObjectIdentifier);

/// The names that are known; any other is written as an object identifier.
const EXTENDED_KEY_USAGES: [(&str, &str); 5] = [
    ("serverAuth", "1.3.6.1.5.5.7.3.1"),
    ("clientAuth", "1.3.6.1.5.5.7.3.2"),
    ("emailProtection", "1.3.6.1.5.5.7.3.4"),
    ("ipsecIKE", "1.3.6.1.5.5.7.3.17"),
    ("eapOverLAN", "1.3.6.1.5.5.7.3.14"),
];

/// What a device must never be: a signer of OCSP answers for the CA, of time stamps, of requests for
/// others (Microsoft's certificate request agent), or everything.
const REFUSED_USAGES: [(&str, &str); 4] = [
    ("anyExtendedKeyUsage", "2.5.29.37.0"),
    ("OCSPSigning", "1.3.6.1.5.5.7.3.9"),
    ("timeStamping", "1.3.6.1.5.5.7.3.8"),
    ("enrolmentAgent", "1.3.6.1.4.1.311.20.2.1"),
];

impl Setting for ExtendedKeyUsage {
    const KIND: &'static str = "serverAuth, clientAuth, emailProtection, ipsecIKE, eapOverLAN \
                                or an object identifier";

    fn read(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(value, key, Self::KIND)?;
        if REFUSED_USAGES.iter().any(|(name, oid)| *name == text || *oid == text) {
            reader.fail(
                key,
                format!("{} is not for devices: it would let them speak for the CA", quoted(text)),
                "remove it and name what the devices do, such as \"clientAuth\"",
            );
            return None;
        }
        let known = EXTENDED_KEY_USAGES.iter().find(|(name, _)| *name == text);
        match ObjectIdentifier::new(known.map_or(text, |(_, oid)| oid)) {
            Ok(oid) => Some(Self(oid)),
            Err(_) => {
                let names = EXTENDED_KEY_USAGES.map(|(name, _)| name);
                let remedy = suggest::remedy(text, &names);
                reader.fail(
                    key,
                    format!("{} is neither a known usage nor an object identifier", quoted(text)),
                    format!(
                        "{remedy}; any other as an object identifier such as \"1.3.6.1.5.5.7.3.2\""
                    ),
                );
                None
            }
        }
    }
}

impl Serialize for ExtendedKeyUsage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An `http://` URL that stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpUrl(pub String);

impl Setting for HttpUrl {
    const KIND: &'static str = "an http:// URL";

    fn read(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(value, key, Self::KIND)?;
        // RFC 5280 section 8: fetching a CRL by https may need the CRL itself.
        if text.starts_with("https://") {
            reader.fail(
                key,
                "an https URL here can wait for itself: its own certificate is checked by it",
                "use http://; CRLs and certificates are signed and need no TLS",
            );
            return None;
        }
        let host = text.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        let good =
            host.is_some_and(|h| !h.is_empty()) && text.bytes().all(|b| b.is_ascii_graphic());
        if !good {
            let problem = format!("{} is not an http:// URL", quoted(text));
            reader.fail(key, problem, "write it in full: \"http://pki.example.org/issuing.crl\"");
        }
        good.then(|| Self(text.to_owned()))
    }
}
