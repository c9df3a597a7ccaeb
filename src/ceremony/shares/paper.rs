//! A share on paper: rows of 24 characters in four groups of six, in an alphabet without letters
//! that look alike (Crockford's base 32). Each row carries its own number and corrects itself; the
//! whole share carries a checksum.

use zeroize::Zeroizing;

use super::reed_solomon::{self, DATA, LENGTH};
use super::shamir::{MAX_SECRET, Share};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The first symbol of a row is its number; these many carry the share.
const PAYLOAD: usize = DATA - 1;
const VERSION: u8 = 1;
/// Version, set, threshold, number, length.
const HEADER: usize = 6;
const CHECKSUM: usize = 4;

/// Why the rows are no share. Rows count from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaperError {
    /// A row has a wrong number of characters.
    #[error("row {row} has {found} characters and must have {LENGTH}; type the row again")]
    RowLength {
        /// The row.
        row: usize,
        /// The characters in it.
        found: usize,
    },
    /// A row holds a character outside the alphabet.
    #[error("row {row} holds «{character}», which no share has; type the row again")]
    Character {
        /// The row.
        row: usize,
        /// The character.
        character: String,
    },
    /// A row has more mistakes than can be put right.
    #[error("row {row} has more than three wrong characters; type the row again")]
    TooManyMistakes {
        /// The row.
        row: usize,
    },
    /// The rows are out of order.
    #[error("row {row} is not row {row} of the paper; type the rows in their order")]
    Order {
        /// The row.
        row: usize,
    },
    /// The share's checksum is wrong, or it is of a version that is not known.
    #[error("the rows are no share: the checksum is wrong; compare every row with the paper")]
    Checksum,
}

/// The rows that stand on paper, without line ends.
pub fn rows(share: &Share) -> Zeroizing<Vec<String>> {
    let mut bytes = Zeroizing::new(vec![VERSION]);
    bytes.extend_from_slice(&share.set.to_be_bytes());
    bytes.extend_from_slice(&[share.threshold, share.x, share.y.len() as u8]);
    bytes.extend_from_slice(&share.y);
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum);
    let symbols = symbols(&bytes);
    let row = |(number, chunk): (usize, &[u8])| {
        let mut data = [0; DATA];
        data[0] = number as u8;
        data[1..=chunk.len()].copy_from_slice(chunk);
        let text = reed_solomon::encode(&data).map(|s| char::from(ALPHABET[usize::from(s)]));
        text.chunks(6).map(|g| g.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
    };
    Zeroizing::new(symbols.chunks(PAYLOAD).enumerate().map(row).collect())
}

/// Reads rows as typed: any case, any spaces, `O` for `0`, `I` and `L` for `1`, `?` for what cannot
/// be read. Returns the share and how many characters were put right.
pub fn read<T: AsRef<str>>(typed: &[T]) -> Result<(Share, usize), PaperError> {
    let mut all = Zeroizing::new(Vec::new());
    let mut corrected = 0;
    for (index, line) in typed.iter().enumerate() {
        let row = index + 1;
        let mut word = word(line.as_ref(), row)?;
        corrected += reed_solomon::correct(&mut word).ok_or(PaperError::TooManyMistakes { row })?;
        if usize::from(word[0]) != index % 32 {
            return Err(PaperError::Order { row });
        }
        all.extend_from_slice(&word[1..DATA]);
    }
    let bytes = bytes(&all);
    let [VERSION, set_high, set_low, threshold, x, len, rest @ ..] = bytes.as_slice() else {
        return Err(PaperError::Checksum);
    };
    let len = usize::from(*len);
    if len > MAX_SECRET + CHECKSUM || rest.len() < len + CHECKSUM {
        return Err(PaperError::Checksum);
    }
    let (whole, sum) = bytes[..HEADER + len + CHECKSUM].split_at(HEADER + len);
    if checksum(whole) != *sum || *x == 0 {
        return Err(PaperError::Checksum);
    }
    let set = u16::from_be_bytes([*set_high, *set_low]);
    let y = Zeroizing::new(rest[..len].to_vec());
    Ok((Share { set, threshold: *threshold, x: *x, y }, corrected))
}

fn word(line: &str, row: usize) -> Result<[u8; LENGTH], PaperError> {
    let mut symbols = Zeroizing::new(Vec::with_capacity(LENGTH));
    for c in line.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let plain = match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            '?' => '0', // an unread character: right by chance, or one of the three
            other => other,
        };
        let symbol = ALPHABET.iter().position(|a| char::from(*a) == plain);
        let character = || c.escape_debug().to_string();
        symbols.push(
            symbol.ok_or_else(|| PaperError::Character { row, character: character() })? as u8
        );
    }
    let found = symbols.len();
    symbols.as_slice().try_into().map_err(|_| PaperError::RowLength { row, found })
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = openssl::sha::sha256(bytes);
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Bytes as symbols of five bits, the last one filled with zeros.
fn symbols(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let bit = |i: usize| bytes.get(i / 8).map_or(0, |b| b >> (7 - i % 8) & 1);
    let symbol = |s: usize| (0..5).fold(0, |value, i| value << 1 | bit(5 * s + i));
    Zeroizing::new((0..(bytes.len() * 8).div_ceil(5)).map(symbol).collect())
}

fn bytes(symbols: &[u8]) -> Zeroizing<Vec<u8>> {
    let bit = |i: usize| symbols[i / 5] >> (4 - i % 5) & 1;
    let byte = |b: usize| (0..8).fold(0, |value, i| value << 1 | bit(8 * b + i));
    Zeroizing::new((0..symbols.len() * 5 / 8).map(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{combine, split};
    use super::*;
    use crate::random::SystemRandom;
    use crate::secret::Secret;
    use proptest::prelude::*;

    fn share() -> Share {
        split(&Secret::new(b"K7WQ-2M9X-THD4-8RFC".to_vec()), 2, 3, &SystemRandom).unwrap().remove(1)
    }

    #[test]
    fn a_share_returns_from_paper() {
        let share = share();
        let rows = rows(&share);
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().all(|r| r.len() == 27));
        let (read, corrected) = read(&rows).unwrap();
        assert!(read.is(&share) && corrected == 0);
    }

    #[test]
    fn typing_mistakes_are_put_right_or_told() {
        let share = share();
        let clean = rows(&share);
        let mut typed = clean.to_vec();
        let spoil = |row: &mut String, n: usize| {
            let mut text: Vec<char> = row.chars().collect();
            for i in 0..n {
                text[i * 8] = if text[i * 8] == 'Z' { 'Y' } else { 'Z' };
            }
            *row = text.into_iter().collect::<String>().to_lowercase();
        };
        spoil(&mut typed[1], 3);
        typed[2].replace_range(3..4, "?");
        let (again, corrected) = read(&typed).unwrap();
        assert!(again.is(&share) && (3..=4).contains(&corrected));
        spoil(&mut typed[0], 4);
        assert!(read(&typed).is_err() || !read(&typed).unwrap().0.is(&share));
        typed.clone_from(&clean);
        typed.swap(0, 1);
        assert_eq!(read(&typed).unwrap_err(), PaperError::Order { row: 1 });
        typed.clone_from(&clean);
        typed.pop();
        assert_eq!(read(&typed).unwrap_err(), PaperError::Checksum);
        typed[0].pop();
        assert_eq!(read(&typed).unwrap_err(), PaperError::RowLength { row: 1, found: 23 });
        typed[0].push('!');
        assert!(matches!(read(&typed).unwrap_err(), PaperError::Character { row: 1, .. }));
    }

    #[test]
    fn shares_from_paper_give_the_secret() {
        let secret = Secret::new(b"correct horse".to_vec());
        let shares = split(&secret, 3, 5, &SystemRandom).unwrap();
        let back: Vec<Share> = shares[2..].iter().map(|s| read(&rows(s)).unwrap().0).collect();
        assert!(combine(&back).unwrap().ct_eq(secret.expose()));
    }

    proptest! {
        #[test]
        fn any_bytes_survive(data in proptest::collection::vec(any::<u8>(), 0..70)) {
            let back = bytes(&symbols(&data));
            prop_assert_eq!(&back[..data.len()], data.as_slice());
        }

        #[test]
        fn rubbish_never_panics(lines in proptest::collection::vec("[0-9A-Za-z? -]{20,30}", 0..5)) {
            let _ = read(&lines);
        }
    }
}
