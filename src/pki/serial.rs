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
