//! The answer to GetCACaps (RFC 8894 section 3.5).

use super::AlgorithmPolicy;
use crate::cms::Cipher;
use crate::pki::Digest;

/// What an endpoint can do, as GetCACaps says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The algorithms; the keywords about them follow from it.
    pub algorithms: AlgorithmPolicy,
    /// Whether RenewalReq really works here without a challenge (docs/scep.md row 19).
    pub renewal: bool,
    /// Whether there is a next CA certificate to ask for (docs/scep.md row 20).
    pub next_ca_certificate: bool,
}

impl Capabilities {
    /// The keywords, one a line, each ended by a line feed and no blank line (docs/scep.md rows 16 to
    /// 22, Q8). SHA-384 has no registered keyword and is listed for strongSwan up to 5.9.10, which
    /// reads it as all the others (Q7).
    pub fn text(&self) -> String {
        let cipher = |c| self.algorithms.allows_cipher(c);
        let digest = |d| self.algorithms.allows_digest(d);
        let keywords = [
            ("AES", cipher(Cipher::Aes128Cbc)),
            ("DES3", cipher(Cipher::DesEde3Cbc)),
            ("GetNextCACert", self.next_ca_certificate),
            ("POSTPKIOperation", true),
            ("Renewal", self.renewal),
            ("SHA-1", digest(Digest::Sha1)),
            ("SHA-256", digest(Digest::Sha256)),
            ("SHA-384", digest(Digest::Sha384)),
            ("SHA-512", digest(Digest::Sha512)),
            ("SCEPStandard", cipher(Cipher::Aes128Cbc) && digest(Digest::Sha256)),
        ];
        let listed = keywords.into_iter().filter(|(_, on)| *on);
        listed.map(|(keyword, _)| format!("{keyword}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scep::Legacy;

    fn text(legacy: Legacy, renewal: bool, next_ca_certificate: bool) -> String {
        let algorithms = AlgorithmPolicy { legacy, ..AlgorithmPolicy::default() };
        Capabilities { algorithms, renewal, next_ca_certificate }.text()
    }

    #[test]
    fn row_016_exact_text() {
        assert_eq!(
            text(Legacy::default(), true, false),
            "AES\nPOSTPKIOperation\nRenewal\nSHA-256\nSHA-384\nSHA-512\nSCEPStandard\n"
        );
        assert_eq!(
            text(Legacy::default(), false, false),
            "AES\nPOSTPKIOperation\nSHA-256\nSHA-384\nSHA-512\nSCEPStandard\n"
        );
    }

    #[test]
    fn row_021_legacy_is_listed_only_when_on() {
        assert_eq!(
            text(Legacy { des3: true, sha1: true, des_and_md5: true }, true, true),
            "AES\nDES3\nGetNextCACert\nPOSTPKIOperation\nRenewal\nSHA-1\nSHA-256\nSHA-384\n\
             SHA-512\nSCEPStandard\n"
        );
        // DES and MD5 have no keyword.
        assert_eq!(
            text(Legacy { des_and_md5: true, ..Legacy::default() }, true, false),
            text(Legacy::default(), true, false)
        );
    }
}
