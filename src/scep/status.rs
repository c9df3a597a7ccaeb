//! The small numbers of RFC 8894: messageType, pkiStatus, failInfo. Each is decimal text in a
//! PrintableString.

/// What a pkiMessage is (RFC 8894 section 3.2.1.2). Closed: every other value is an error, so that
/// no unknown type can pass by a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageType {
    /// 3, the answer to all others; never a request.
    CertRep,
    /// 17, PKCS#10 signed with a certificate that was issued before.
    RenewalReq,
    /// 19, PKCS#10 signed with a self-signed certificate.
    PkcsReq,
    /// 20, whether a pending request has been decided.
    CertPoll,
    /// 21, a certificate by its serial number.
    GetCert,
    /// 22, the CRL.
    GetCrl,
}

impl MessageType {
    /// All of them, by number.
    pub const ALL: [Self; 6] = [
        Self::CertRep,
        Self::RenewalReq,
        Self::PkcsReq,
        Self::CertPoll,
        Self::GetCert,
        Self::GetCrl,
    ];

    /// The number as text, as it stands in the attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CertRep => "3",
            Self::RenewalReq => "17",
            Self::PkcsReq => "19",
            Self::CertPoll => "20",
            Self::GetCert => "21",
            Self::GetCrl => "22",
        }
    }

    /// The name in RFC 8894.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CertRep => "CertRep",
            Self::RenewalReq => "RenewalReq",
            Self::PkcsReq => "PKCSReq",
            Self::CertPoll => "CertPoll",
            Self::GetCert => "GetCert",
            Self::GetCrl => "GetCRL",
        }
    }

    /// The type whose number `text` is, exactly: no sign, blank or leading zero.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str().as_bytes() == text)
    }
}

impl std::fmt::Display for MessageType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How a request went (RFC 8894 section 3.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PkiStatus {
    /// 0, the request is granted.
    Success,
    /// 2, the request is refused.
    Failure,
    /// 3, the request waits for a decision.
    Pending,
}

impl PkiStatus {
    /// The number as text, as it stands in the attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "0",
            Self::Failure => "2",
            Self::Pending => "3",
        }
    }
}

/// Why a request is refused (RFC 8894 section 3.2.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailInfo {
    /// 0, an algorithm that is unknown or not allowed.
    BadAlg,
    /// 1, the message's integrity does not hold.
    BadMessageCheck,
    /// 2, the transaction is not permitted or supported.
    BadRequest,
    /// 3, the signingTime is too far from ours.
    BadTime,
    /// 4, no certificate fits what was asked for.
    BadCertId,
}

impl FailInfo {
    /// The number as text, as it stands in the attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadAlg => "0",
            Self::BadMessageCheck => "1",
            Self::BadRequest => "2",
            Self::BadTime => "3",
            Self::BadCertId => "4",
        }
    }

    /// The name in RFC 8894.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadAlg => "badAlg",
            Self::BadMessageCheck => "badMessageCheck",
            Self::BadRequest => "badRequest",
            Self::BadTime => "badTime",
            Self::BadCertId => "badCertId",
        }
    }
}

impl std::fmt::Display for FailInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_six_types_and_nothing_else() {
        for known in MessageType::ALL {
            assert_eq!(MessageType::from_text(known.as_str().as_bytes()), Some(known));
        }
        for odd in
            ["", "0", "1", "18", "99", "017", "19 ", " 19", "+19", "19\0", "2147483648", "-3"]
        {
            assert_eq!(MessageType::from_text(odd.as_bytes()), None, "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn t01_no_other_text_is_a_type(text in proptest::collection::vec(any::<u8>(), 0..8)) {
            let known = MessageType::ALL.iter().any(|t| t.as_str().as_bytes() == text);
            prop_assert_eq!(MessageType::from_text(&text).is_some(), known);
        }
    }
}
