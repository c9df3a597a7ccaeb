//! Looking for certificates: what is wanted, and the pages in which it comes.

use serde::{Deserialize, Serialize};

use super::admin::Certificate;

/// What certificates must have to be found. Nothing given finds all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFilter {
    /// A part of the subject as it is shown, upper and lower case alike.
    pub subject: Option<String>,
    /// A part of an alternative name as it is shown (`dns:host.example`), upper and lower case alike.
    pub san: Option<String>,
    /// The subjectKeyIdentifier in hexadecimal.
    pub ski: Option<String>,
    /// The certificate's SHA-256 in hexadecimal.
    pub fingerprint: Option<String>,
    /// The CA's name in the configuration.
    pub ca: Option<String>,
    /// The endpoint's name.
    pub endpoint: Option<String>,
    /// The profile's name.
    pub profile: Option<String>,
    /// The state: `valid`, `expired`, `revoked`, `on hold`.
    pub state: Option<String>,
    /// The transaction ID.
    pub transaction: Option<String>,
    /// Where the request came from.
    pub source: Option<String>,
    /// Recorded at or after, milliseconds since 1970.
    pub issued_from: Option<u64>,
    /// Recorded before, milliseconds since 1970.
    pub issued_to: Option<u64>,
    /// Ends between now and so many milliseconds later.
    pub expiring: Option<u64>,
}

/// Where the next page of a search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cursor {
    /// At this ledger entry.
    Entry(u64),
    /// At certificates that end at this second since 1970: the order of a search for `expiring`.
    End(u64),
}

/// A page of a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatePage {
    /// What was found, in the order of the ledger, or of their ends in a search for `expiring`.
    pub certificates: Vec<Certificate>,
    /// Where to go on; none at the end. A page may be empty and yet not the last.
    pub next: Option<Cursor>,
}
