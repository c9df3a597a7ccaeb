//! Certificate serial numbers (RFC 5280 section 4.1.2.2).

use std::fmt;

use crate::random::{self, Random, RandomError};

/// The content octets of a certificate's serial INTEGER. Ours are positive and of 16 or 17 octets;
/// those of other people's certificates are kept as they came, whatever their length and sign.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber(Vec<u8>);

impl SerialNumber {
    /// A new serial of 128 random bits, never zero, as a minimal positive INTEGER.
    pub fn random(random: &dyn Random) -> Result<Self, RandomError> {
        loop {
            let bits: [u8; 16] = random::bytes(random)?;
            let significant: Vec<u8> = bits.iter().copied().skip_while(|b| *b == 0).collect();
            if let Some(first) = significant.first() {
                let sign = if first & 0x80 != 0 { vec![0] } else { vec![] };
                return Ok(Self([sign, significant].concat()));
            }
        }
    }

    /// The content octets of an INTEGER, as found in a certificate.
    pub fn from_content(content: &[u8]) -> Self {
        Self(content.to_vec())
    }

    /// The content octets of the INTEGER.
    pub fn content(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SerialNumber {
    /// Hexadecimal without a leading sign octet, as `openssl x509 -serial` prints it but in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match self.0.as_slice() {
            [0, rest @ ..] if !rest.is_empty() => rest,
            all => all,
        };
        f.write_str(&hex::encode(shown))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({self})")
    }
}

impl std::str::FromStr for SerialNumber {
    type Err = String;

    /// Reads the hexadecimal form, upper or lower case, with or without colons.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let digits = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits };
        let bytes = hex::decode(&digits)
            .map_err(|_| format!("«{text}» is not a serial number in hexadecimal"))?;
        let significant: Vec<u8> = bytes.into_iter().skip_while(|b| *b == 0).collect();
        match significant.first() {
            None => Err(format!("«{text}» is not a serial number: it is empty or zero")),
            Some(first) if first & 0x80 != 0 => Ok(Self([vec![0], significant].concat())),
            Some(_) => Ok(Self(significant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);
    impl Random for Fixed {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
            buffer.fill(self.0);
            Ok(())
        }
    }

    struct Broken;
    impl Random for Broken {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
            Err(RandomError("no entropy".into()))
        }
    }

    #[test]
    fn is_positive_and_minimal() {
        let high = SerialNumber::random(&Fixed(0xff)).unwrap();
        assert_eq!(high.content().len(), 17);
        assert_eq!(high.content()[0], 0);
        assert_eq!(SerialNumber::random(&Fixed(0x11)).unwrap().content().len(), 16);
    }

    /// What is wrong with many serials of one source.
    fn flaw(random: &dyn Random) -> Option<String> {
        const COUNT: usize = 20_000;
        let mut seen = std::collections::HashSet::new();
        let mut ones = [0usize; 128];
        for _ in 0..COUNT {
            let serial = SerialNumber::random(random).ok()?;
            let content = serial.content();
            if content.len() > 20 || content[0] & 0x80 != 0 || content == [0] {
                return Some(format!("{serial:?} is not positive and of 20 octets at most"));
            }
            if !seen.insert(content.to_vec()) {
                return Some(format!("{serial:?} comes twice"));
            }
            let mut bits = [0; 16];
            let significant = content.strip_prefix(&[0]).unwrap_or(content);
            bits[16 - significant.len()..].copy_from_slice(significant);
            for (at, count) in ones.iter_mut().enumerate() {
                *count += usize::from(bits[at / 8] >> (7 - at % 8) & 1);
            }
        }
        // Six standard deviations of a fair coin.
        let bound = (COUNT as f64).sqrt() * 3.0;
        let skew = |count: usize| (count as f64 - COUNT as f64 / 2.0).abs();
        let (at, count) = ones.iter().enumerate().find(|(_, count)| skew(**count) > bound)?;
        Some(format!("bit {at} is set in {count} of {COUNT}"))
    }

    /// Serials in a row, as a counter gives them.
    struct Counter(std::sync::atomic::AtomicU64);
    impl Random for Counter {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
            buffer.fill(0x5a);
            let next = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            buffer[8..16].copy_from_slice(&next.to_be_bytes());
            Ok(())
        }
    }

    #[test]
    fn t40_every_bit_is_random() {
        assert_eq!(flaw(&crate::random::SystemRandom), None);
        // The control: a counter and a constant are found out.
        assert!(flaw(&Counter(7.into())).is_some_and(|f| f.contains("bit")));
        assert!(flaw(&Fixed(0x77)).is_some_and(|f| f.contains("twice")));
    }

    #[test]
    fn fails_with_its_source() {
        assert!(SerialNumber::random(&Broken).is_err());
    }

    #[test]
    fn text_round_trips() {
        let serial = SerialNumber::random(&Fixed(0xab)).unwrap();
        assert_eq!(serial.to_string().parse(), Ok(serial.clone()));
        assert_eq!(serial.to_string().to_uppercase().parse(), Ok(serial));
        assert!("".parse::<SerialNumber>().is_err());
        assert!("xyz".parse::<SerialNumber>().is_err());
    }
}
