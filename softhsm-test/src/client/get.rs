//! The many ways in which clients put a message into the query of a GET (row 6, quirks 10 to 12).

use openssl::base64::encode_block;

/// How the base64 of a message is written into the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// `+`, `/` and `=` percent-encoded, as the RFC says.
    Full,
    /// Nothing escaped: a literal `+`.
    Raw,
    /// Only `=` escaped, as Apple's clients do.
    EqualsOnly,
    /// Lines of 64 joined by `%0A`, only `+` escaped, as strongSwan does.
    Lines,
    /// Lines of 64 joined by `%0D%0A`.
    CrLfLines,
    /// Percent-encoded twice.
    Double,
    /// `+` written as `%20`.
    PlusAsSpace,
    /// Fully escaped, without padding.
    NoPadding,
    /// Fully escaped, with a `%0A` at the end.
    TrailingNewline,
    /// The URL-safe alphabet without padding.
    UrlSafe,
}

/// Every way, for tests that try them all.
pub const ALL: [Escaping; 10] = [
    Escaping::Full,
    Escaping::Raw,
    Escaping::EqualsOnly,
    Escaping::Lines,
    Escaping::CrLfLines,
    Escaping::Double,
    Escaping::PlusAsSpace,
    Escaping::NoPadding,
    Escaping::TrailingNewline,
    Escaping::UrlSafe,
];

impl Escaping {
    /// The value of `message=` for these bytes.
    pub fn encode(self, message: &[u8]) -> String {
        let base64 = encode_block(message);
        let full = |text: &str| text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        match self {
            Self::Full => full(&base64),
            Self::Raw => base64,
            Self::EqualsOnly => base64.replace('=', "%3D"),
            Self::Lines => lines(&base64, "%0A").replace('+', "%2B"),
            Self::CrLfLines => lines(&base64, "%0D%0A").replace('+', "%2B"),
            Self::Double => full(&base64).replace('%', "%25"),
            Self::PlusAsSpace => base64.replace('+', "%20"),
            Self::NoPadding => full(base64.trim_end_matches('=')),
            Self::TrailingNewline => full(&base64) + "%0A",
            Self::UrlSafe => base64.trim_end_matches('=').replace('+', "-").replace('/', "_"),
        }
    }
}

fn lines(base64: &str, separator: &str) -> String {
    // Base64 is ASCII, so any byte is a character's start.
    let starts = (0..base64.len()).step_by(64);
    let pieces: Vec<&str> =
        starts.map(|s| base64.get(s..).map_or("", |r| r.get(..64).unwrap_or(r))).collect();
    pieces.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_differs_where_it_should() {
        let message = [&[0xfb, 0xff, 0xfe][..], &[0; 97]].concat();
        let plain = encode_block(&message);
        assert!(plain.starts_with("+//+") && plain.ends_with('='));
        assert!(Escaping::Full.encode(&message).starts_with("%2B%2F%2F%2B"));
        assert_eq!(Escaping::Raw.encode(&message), plain);
        assert!(Escaping::Lines.encode(&message).contains("%0A"));
        assert_eq!(Escaping::Lines.encode(&message).replace("%0A", "").replace("%2B", "+"), plain);
        assert!(Escaping::Double.encode(&message).starts_with("%252B%252F"));
        assert!(Escaping::UrlSafe.encode(&message).starts_with("-__-"));
    }
}
