//! SCEP endpoints.

use std::time::Duration;

use serde::Serialize;
use toml::Spanned;
use toml::de::DeValue;

use super::error::quoted;
use super::reader::Reader;
use super::schema::{Setting, choice, section};
use super::values::Name;
use crate::ra::ChallengeMac;

section! {
    /// A SCEP endpoint: a path with its CA, its profile, what it asks of a requester and the shape of
    /// its answers.
    pub struct Endpoint {
        /// The URL's path. What clients append (`/`, `/pkiclient.exe`) is understood.
        path: UrlPath,
        /// More paths of the same endpoint, such as `/cgi-bin/pkiclient.exe`, the default of many clients.
        aliases: Vec<UrlPath> = [],
        /// The CA that issues: the NAME of a `[ca.NAME]`.
        ca: Name,
        /// The profile of the certificates: the NAME of a `[profile.NAME]`.
        profile: Name,
        /// The keyed MAC of the challenge password, made by `chancery challenge mac`. An endpoint without
        /// one and without one-time challenges lets nobody in: it answers what is public and refuses
        /// enrolment.
        challenge_mac: Option<ChallengeMac>,
        /// Whether one-time challenges are good here, beside the configured challenge or instead of it.
        /// `chancery challenge issue` makes them.
        one_time_challenges: bool = false,
        /// What is kept of the one-time challenges. `sealed` lets devices enrol whose keys cannot decrypt.
        challenge_storage: ChallengeStorage = "mac",
        /// Whose word a request needs after it has proven its right.
        approval: Approval = "none",
        /// For how long a request waits for an officer, and an approved one for its device, before it
        /// is refused.
        pending_lifetime: Duration ["1s", "90d"] = "7d",
        /// Whether PKIOperation by GET is answered beside POST; certmonger sends nothing else.
        allow_get: bool = true,
        /// Whether devices with EC keys get their replies by key agreement (ECDH, RFC 5753), an extension
        /// that RFC 8894 does not have. They encrypt requests to the RA's RSA key as others do, enrol with
        /// any challenge, and renew.
        ec_key_agreement: bool = false,
        /// The algorithms that are accepted. What is accepted is what GetCACaps lists.
        algorithms: Algorithms = {},
        /// What GetCACert returns, in this order.
        ca_cert_response: Vec<CaCertPart> = ["ra-decryption", "ra-signing", "issuing", "upper", "root"],
        /// What a successful reply holds beside the certificate.
        certrep_chain: CertRepChain = "none",
        /// Renewal by a certificate that this endpoint issued, without the challenge.
        renewal: Renewal = {},
        /// Whether GetCert is answered (RFC 8894 section 3.3.4), to who holds a certificate of the CA.
        /// RFC 8894 section 7.8 advises against it.
        get_cert: bool = false,
        /// Whether GetCRL is answered (section 3.3.5), to who holds a certificate of the CA. Devices
        /// that can fetch the CRL over HTTP from `/crl/NAME.crl` need it not.
        get_crl: bool = false,
        /// For how long a repeated request (same transaction, same PKCS#10) is answered with the same
        /// certificate.
        retry_window: Duration ["1s", "30d"] = "24h",
        /// What becomes of an enrolment whose subject has a certificate of this endpoint that is in force.
        /// A renewal is none of this: it is proven by the old certificate.
        duplicate_subject: DuplicateSubject = "allow",
        /// Whether a request without senderNonce is refused, as RFC 8894 section 3.2.1.5 has it. Set this
        /// to false for clients that send none; their replies have no recipientNonce.
        require_sender_nonce: bool = true,
    }
}

section! {
    /// What an endpoint accepts beyond AES, SHA-256, SHA-384 and SHA-512. What is accepted is what
    /// GetCACaps lists, but for what RFC 8894 forbids, which has no keyword.
    pub struct Algorithms {
        /// Triple DES, for devices that have no AES. GetCACaps then lists `DES3`.
        des3: bool = false,
        /// SHA-1, for devices that have no SHA-256; never for renewals. GetCACaps then lists `SHA-1`.
        sha1: bool = false,
        /// Single DES and MD5, which RFC 8894 section 2.9 forbids, for devices that can nothing else
        /// (old Cisco IOS). Never used in a reply. Each use is logged.
        des_and_md5: bool = false,
    }
}

section! {
    /// When a device may renew its certificate: it signs the request with the old one (RFC 8894
    /// section 2.5) and needs no challenge.
    pub struct Renewal {
        /// Whether certificates are renewed at all. GetCACaps then lists `Renewal`.
        enabled: bool = true,
        /// How long before its end a certificate may be renewed.
        window: Duration ["0s", "3650d"] = "90d",
        /// What the new names may be.
        names: NameRule = "same",
        /// Whether the new certificate may have the old key.
        same_key: bool = false,
        /// Whether a challenge that a device sends all the same has to be right. Set this to false
        /// where devices keep sending one that is out of date.
        check_challenge: bool = true,
    }
}

choice! {
    /// What is kept of one-time challenges.
    pub enum ChallengeStorage ("one of") {
        /// A keyed MAC: they can be recognised, and nobody can read them again.
        Mac = "mac",
        /// The MAC, and the challenge encrypted under a key that comes from the HSM or a credential
        /// (`seal_key` or `seal_credential` of `[signer]`). A device with an EC key can then encrypt its
        /// request under the challenge (PasswordRecipientInfo, RFC 8894 section 3.1) and gets its reply in
        /// the same way. `chancery challenge issue` prints the transaction ID that the device must use.
        /// Each challenge is good for one certificate.
        Sealed = "sealed",
    }
}

choice! {
    /// Whose word a request needs after it has proven its right.
    pub enum Approval ("one of") {
        /// Nobody's: it is answered at once.
        None = "none",
        /// An officer's: the device gets PENDING and polls until `chancery request approve` or `deny`.
        /// Renewals wait as well.
        Officer = "officer",
    }
}

choice! {
    /// What becomes of an enrolment whose subject has a certificate already.
    pub enum DuplicateSubject ("one of") {
        /// It is issued; both are in force.
        Allow = "allow",
        /// It is refused, until the other one is revoked or at its end.
        Refuse = "refuse",
        /// It is issued, and the others are revoked (superseded).
        Supersede = "supersede",
    }
}

choice! {
    /// What the names of a renewed certificate may be.
    pub enum NameRule ("one of") {
        /// The same subject and the same alternative names.
        Same = "same",
        /// The same subject, and some or all of the alternative names.
        Subset = "subset",
    }
}

choice! {
    /// A part of the answer to GetCACert.
    pub enum CaCertPart ("one of the parts") {
        /// The RA's decryption certificate.
        RaDecryption = "ra-decryption",
        /// The RA's signing certificate.
        RaSigning = "ra-signing",
        /// The issuing CA's certificate.
        Issuing = "issuing",
        /// The CA certificates between the issuing one and the root.
        Upper = "upper",
        /// The root's certificate.
        Root = "root",
    }
}

choice! {
    /// What a successful reply holds beside the issued certificate.
    pub enum CertRepChain ("one of") {
        /// Nothing.
        None = "none",
        /// The CA certificates without the root.
        Chain = "chain",
        /// The CA certificates with the root.
        FullChain = "fullchain",
    }
}

/// The path of an endpoint's URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UrlPath(String);

impl UrlPath {
    /// As text, with the leading slash and none at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for UrlPath {
    const KIND: &'static str = "a path such as \"/scep/device\"";

    fn read(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(value, key, Self::KIND)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
        let segments = || text.trim_start_matches('/').split('/');
        let good = text.starts_with('/')
            && text.len() > 1
            && text.len() <= 200
            && text.bytes().all(plain)
            && segments().all(|s| !s.is_empty() && s != "." && s != "..");
        if !good {
            reader.fail(
                key,
                format!("{} is not a path that can be served", quoted(text)),
                "begin with /, end without one, and use letters, digits, - _ . ~ only, \
                 such as \"/scep/device\"",
            );
        }
        good.then(|| Self(text.to_owned()))
    }
}

impl Setting for ChallengeMac {
    const KIND: &'static str = "\"hmac-sha256:\" with 64 hexadecimal digits";

    fn read(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(value, key, Self::KIND)?;
        if let Ok(mac) = text.parse() {
            return Some(mac);
        }
        // The text is not shown: somebody may have written the challenge itself.
        reader.fail(
            key,
            "this is not the MAC of a challenge",
            "never write the challenge itself here; run `chancery challenge mac` and put in the line \
             that it prints",
        );
        None
    }
}
