//! Getting a message out of what HTTP clients make of it (RFC 8894 section 4.1; docs/scep.md rows 5, 6
//! and Q10, Q11, Q12, Q36, Q51, Q60).

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Padding may be there or not, and unused bits may be set: what is inside is verified anyway.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why no message could be got out of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// There is nothing.
    #[error("the request carries no message")]
    Empty,
    /// More bytes than the caller's bound.
    #[error("the message is longer than the {0} bytes allowed")]
    TooLong(usize),
    /// It is not base64 in any form that is known.
    #[error("the message is not base64")]
    NotBase64,
}

/// The message in the `message` parameter of a GET. `raw` is the parameter's value as it stands in
/// the request line: no percent-escape undone, and no `+` made a blank. At most `limit` bytes.
pub fn decode_get_message(raw: &str, limit: usize) -> Result<Vec<u8>, TransportError> {
    decode(raw.as_bytes(), limit)
}

/// The message in the body of a POST: DER as the RFC has it, or base64, which some clients send.
/// At most `limit` bytes.
pub fn decode_post_body(body: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, TransportError> {
    match body {
        [] => Err(TransportError::Empty),
        // A SEQUENCE. Base64 of one begins with M.
        [0x30, ..] if body.len() > limit => Err(TransportError::TooLong(limit)),
        [0x30, ..] => Ok(Cow::Borrowed(body)),
        _ => decode(body, limit).map(Cow::Owned),
    }
}

/// Base64 with anything around it that clients and proxies put there: one or two layers of
/// percent-escapes, a blank for `+`, line ends, the alphabet for URLs, padding or none.
fn decode(raw: &[u8], limit: usize) -> Result<Vec<u8>, TransportError> {
    // Each byte takes 4/3 characters, each of which at most 5 (`%252B`); and line ends.
    if raw.len() > limit.saturating_mul(8) {
        return Err(TransportError::TooLong(limit));
    }
    let mut text = percent_decode(&percent_decode(raw));
    text.retain(|byte| !matches!(byte, b'\r' | b'\n' | b'\t'));
    // A blank is a `+` that went through a form decoder, unless it can only be one that trails.
    let trimmed = text.trim_ascii();
    let blanks_trail = trimmed.ends_with(b"=") || text.len() % 4 == 1;
    let text = if blanks_trail { trimmed } else { text.trim_ascii_start() };
    let alphabet = |byte: &u8| match byte {
        b' ' | b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    let base64: Vec<u8> = text.iter().map(alphabet).collect();
    if base64.is_empty() {
        return Err(TransportError::Empty);
    }
    let message = BASE64.decode(&base64).map_err(|_| TransportError::NotBase64)?;
    if message.len() > limit { Err(TransportError::TooLong(limit)) } else { Ok(message) }
}

/// One layer of percent-escapes undone (RFC 3986 section 2.1); a `%` that begins none stays.
pub fn percent_decode(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|d| char::from(*d).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
