//! The thumbprints by which MDM forms and network gear name a certificate.

use serde_json::{Value, json};

use crate::pki::{Certificate, Digest, name};

/// One certificate's thumbprints: over its whole DER (RFC 8894 section 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thumbprints {
    what: String,
    subject: String,
    not_after: String,
    /// Name of the digest, thumbprint; none where OpenSSL refuses the digest (MD5 under FIPS).
    digests: [(Digest, Option<String>); 3],
}

impl Thumbprints {
    pub(super) fn new(what: impl Into<String>, certificate: &Certificate) -> Self {
        let of = |digest: Digest| (digest, digest.hash(certificate.der()).ok().map(hex::encode));
        Self {
            what: what.into(),
            subject: name::display(certificate.subject()),
            not_after: certificate.not_after().to_string(),
            digests: [Digest::Sha256, Digest::Sha1, Digest::Md5].map(of),
        }
    }

    pub(super) fn as_text(&self) -> String {
        let mut text = format!("  {}: {}\n", self.what, self.subject);
        for (digest, value) in &self.digests {
            let asked_by = match digest {
                Digest::Sha1 => "  (Windows, Jamf, Juniper)",
                Digest::Md5 => "  (old gear; proves nothing)",
                _ => "",
            };
            let value = value.as_deref().unwrap_or("(not possible here)");
            text.push_str(&format!("    {:<8} {value}{asked_by}\n", digest.name()));
        }
        text
    }

    pub(super) fn as_json(&self) -> Value {
        let [sha256, sha1, md5] = self.digests.each_ref().map(|(_, value)| value);
        json!({
            "what": self.what,
            "subject": self.subject,
            "not_after": self.not_after,
            "sha256": sha256,
            "sha1": sha1,
            "md5": md5,
        })
    }
}
