//! Certificate authorities: certificates and the places of their keys.

use std::path::PathBuf;
use std::time::Duration;

use super::schema::section;
use super::token::KeyPlace;
use super::values::Name;

section! {
    /// A certificate authority with its registration authority (RA). The three keys are three
    /// different ones: one key, one purpose.
    pub struct Ca {
        /// The CA's certificate, PEM.
        certificate: PathBuf,
        /// The certificates above it, PEM, one a file, from its issuer up to the root. Empty for a root.
        chain: Vec<PathBuf> = [],
        /// The CA's key: it signs certificates.
        key: KeyPlace,
        /// What clients encrypt their requests to.
        ra_decryption: RaKey,
        /// What signs the replies.
        ra_signing: RaKey,
        /// The list of revoked certificates that the CA signs. The frontend serves it at
        /// `/crl/NAME.crl`; name that URL in `crl_urls` of the profiles.
        crl: Crl = {},
        /// The CA that follows this one, by its name: a section `[ca.NAME]` of its own with other keys.
        /// Naming it changes nothing by itself. `chancery ca rollover stage CA` announces it to the devices
        /// (GetNextCACert) and accepts requests to it, `activate` makes it the one that the endpoints of
        /// this CA offer, `retire` ends this CA's enrolments. The steps are entries of the ledger and hold
        /// over restarts. This section stays while certificates of this CA live: its CRL goes on.
        next: Option<Name>,
    }
}

section! {
    /// A CA's certificate revocation list. A new one is made after each revocation, too.
    pub struct Crl {
        /// Whether the CA signs lists. Its certificate then needs the key usage cRLSign.
        enabled: bool = true,
        /// How long a list is good: devices refuse it afterwards.
        next_update: Duration ["5m", "366d"] = "7d",
        /// How soon a list is followed by the next, where nothing was revoked. Shorter than
        /// `next_update`: what lies between is the time to mend a broken HSM.
        refresh: Duration ["1m", "366d"] = "24h",
    }
}

section! {
    /// A certificate and key of the registration authority.
    pub struct RaKey {
        /// The certificate, PEM, issued by the CA.
        certificate: PathBuf,
        /// The key of the certificate.
        key: KeyPlace,
    }
}
