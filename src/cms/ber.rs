//! BER to strict DER: indefinite lengths become definite, long forms of a length minimal,
//! constructed OCTET STRINGs one primitive. Java, Apple and streaming encoders send such messages
//! (docs/scep.md row 41).
//!
//! By hand, because no crate does it safely: `der`'s BER mode leaves chunks unflattened, so that
//! digests differ, and OpenSSL's re-encoding recurses and wants typed structures. The walk is
//! iterative, its depth and size are bounded first, and the output is never longer than the input
//! by more than a length octet an element. Elements of a SET keep the order in which they came: a
//! signature may have been made over it.

use std::ops::Range;

use super::asn1::{push_length, tag};

/// How deep elements may nest.
pub const MAX_DEPTH: usize = 32;

/// Why bytes are not acceptable BER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BerError {
    /// More bytes than the caller's bound.
    #[error("the message has {len} bytes, more than the {limit} allowed")]
    TooLong {
        /// Bytes received.
        len: usize,
        /// The bound.
        limit: usize,
    },
    /// Elements nest deeper than [`MAX_DEPTH`].
    #[error("the message nests deeper than {MAX_DEPTH} levels (at byte {0})")]
    TooDeep(usize),
    /// The encoding stops before its own lengths do.
    #[error("the message ends in the middle of an element (at byte {0})")]
    Truncated(usize),
    /// Bytes follow the outermost element.
    #[error("bytes follow the end of the message (at byte {0})")]
    Trailing(usize),
    /// An encoding that BER does not have, or one that CMS never uses.
    #[error("the encoding is invalid (at byte {0})")]
    Invalid(usize),
}

/// A piece of the output, in order.
enum Piece {
    /// An identifier octet and the length of what follows it.
    Header { tag: u8, len: usize },
    /// Content octets of the input.
    Content(Range<usize>),
}

/// A constructed element whose end has not been reached.
struct Open {
    /// Index of its header among the pieces; none for a segment of a constructed OCTET STRING.
    header: Option<usize>,
    /// Where it ends, or none for an indefinite length.
    end: Option<usize>,
    /// Whether it is an OCTET STRING in segments.
    string: bool,
    /// DER bytes of its content so far.
    len: usize,
}

/// The strict DER of the one BER element that `input` is, at most `limit` bytes long.
pub fn to_der(input: &[u8], limit: usize) -> Result<Vec<u8>, BerError> {
    if input.len() > limit {
        return Err(BerError::TooLong { len: input.len(), limit });
    }
    let pieces = walk(input)?;
    let mut out = Vec::with_capacity(input.len());
    for piece in pieces {
        match piece {
            Piece::Header { tag, len } => {
                out.push(tag);
                push_length(&mut out, len);
            }
            Piece::Content(range) => out.extend_from_slice(&input[range]),
        }
    }
    Ok(out)
}

fn walk(input: &[u8]) -> Result<Vec<Piece>, BerError> {
    let mut pieces = Vec::new();
    let mut open: Vec<Open> = Vec::with_capacity(MAX_DEPTH);
    let mut at = 0;
    loop {
        // Close whatever ends here.
        while let Some(top) = open.last() {
            if top.end != Some(at) {
                break;
            }
            close(&mut pieces, &mut open);
        }
        if open.is_empty() && !pieces.is_empty() {
            return if at == input.len() { Ok(pieces) } else { Err(BerError::Trailing(at)) };
        }
        let bound = open.iter().rev().find_map(|o| o.end).unwrap_or(input.len());
        let parent = open.last();
        if parent.is_some_and(|p| p.end.is_none()) && input.get(at..at + 2) == Some(&[0, 0]) {
            if at + 2 > bound {
                return Err(BerError::Truncated(at));
            }
            at += 2;
            close(&mut pieces, &mut open);
            continue;
        }
        let in_string = parent.is_some_and(|p| p.string);
        let header = header(input, at, bound)?;
        if in_string && !matches!(header.tag, tag::OCTET_STRING | CONSTRUCTED_OCTET_STRING) {
            return Err(BerError::Invalid(at));
        }
        if header.tag & CONSTRUCTED == 0 {
            let Some(len) = header.len else { return Err(BerError::Invalid(at)) };
            let content = header.content..header.content + len;
            at = content.end;
            if !in_string {
                pieces.push(Piece::Header { tag: header.tag, len });
            }
            pieces.push(Piece::Content(content));
            add(&mut open, if in_string { len } else { element_len(len) });
        } else {
            if open.len() == MAX_DEPTH {
                return Err(BerError::TooDeep(at));
            }
            let string = header.tag == CONSTRUCTED_OCTET_STRING;
            let out_tag = if string { tag::OCTET_STRING } else { header.tag };
            let index = (!in_string).then_some(pieces.len());
            if index.is_some() {
                pieces.push(Piece::Header { tag: out_tag, len: 0 });
            }
            at = header.content;
            let end = header.len.map(|len| at + len);
            open.push(Open { header: index, end, string, len: 0 });
        }
    }
}

const CONSTRUCTED: u8 = 0x20;
const CONSTRUCTED_OCTET_STRING: u8 = 0x24;

/// Ends the innermost open element and adds what it came to to its parent.
fn close(pieces: &mut [Piece], open: &mut Vec<Open>) {
    let Some(done) = open.pop() else { return };
    match done.header.and_then(|i| pieces.get_mut(i)) {
        Some(Piece::Header { len, .. }) => {
            *len = done.len;
            add(open, element_len(done.len));
        }
        _ => add(open, done.len),
    }
}

fn add(open: &mut [Open], len: usize) {
    if let Some(parent) = open.last_mut() {
        parent.len += len;
    }
}

/// The DER length of an element with `len` content octets.
fn element_len(len: usize) -> usize {
    let significant = (usize::BITS - len.leading_zeros()).div_ceil(8) as usize;
    len + 2 + if len < 0x80 { 0 } else { significant }
}

/// A header as it stands in the input.
struct Header {
    tag: u8,
    /// Where the content begins.
    content: usize,
    /// Octets of content; none for an indefinite length.
    len: Option<usize>,
}

fn header(input: &[u8], at: usize, bound: usize) -> Result<Header, BerError> {
    let octet = |i: usize| {
        if i < bound { input.get(i).copied() } else { None }.ok_or(BerError::Truncated(at))
    };
    let tag = octet(at)?;
    if !allowed(tag) {
        return Err(BerError::Invalid(at));
    }
    let first = octet(at + 1)?;
    let mut content = at + 2;
    let len = match first {
        0x80 => return Ok(Header { tag, content, len: None }),
        0..=0x7f => usize::from(first),
        _ => {
            let mut len = 0usize;
            for _ in 0..(first & 0x7f) {
                let next = usize::from(octet(content)?);
                len = len
                    .checked_mul(256)
                    .and_then(|l| l.checked_add(next))
                    .ok_or(BerError::Invalid(at))?;
                content += 1;
            }
            len
        }
    };
    match content.checked_add(len) {
        Some(end) if end <= bound => Ok(Header { tag, content, len: Some(len) }),
        _ => Err(BerError::Truncated(at)),
    }
}

/// Whether CMS can hold an element with this identifier octet: no tag number of 31 and more, no
/// end-of-contents out of place, and of the universal types only SEQUENCE, SET and OCTET STRING
/// constructed, the first two never primitive.
fn allowed(tag: u8) -> bool {
    let (class, constructed, number) = (tag >> 6, tag & CONSTRUCTED != 0, tag & 0x1f);
    match (class, number) {
        (_, 0x1f) | (0, 0) => false,
        (0, 0x10 | 0x11) => constructed,
        (0, 0x04) => true,
        (0, _) => !constructed,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
