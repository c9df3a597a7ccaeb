//! Reed-Solomon code words of 24 symbols over GF(2^5), 18 of data and 6 of parity: three wrong
//! symbols are put right. By hand: the crates correct erasures of whole storage blocks, or work over
//! GF(2^8), where one typed character would be parts of two symbols.

/// Symbols of data in a code word.
pub(super) const DATA: usize = 18;
/// Symbols of parity in a code word.
const PARITY: usize = 6;
/// Symbols of a code word.
pub(super) const LENGTH: usize = DATA + PARITY;
/// The multiplicative group of GF(32) has so many elements.
const ORDER: usize = 31;

/// GF(2^5) modulo x^5 + x^2 + 1, with x as the generator.
struct Field {
    power: [u8; 2 * ORDER],
    log: [usize; 32],
}

impl Field {
    fn new() -> Self {
        let (mut power, mut log) = ([0; 2 * ORDER], [0; 32]);
        let mut value = 1u8;
        for (i, place) in power.iter_mut().enumerate() {
            *place = value;
            log[usize::from(value)] = i % ORDER;
            value = value << 1 ^ if value & 0x10 != 0 { 0x25 } else { 0 };
        }
        Self { power, log }
    }

    fn multiply(&self, a: u8, b: u8) -> u8 {
        if a == 0 || b == 0 {
            return 0;
        }
        self.power[self.log[usize::from(a)] + self.log[usize::from(b)]]
    }

    fn divide(&self, a: u8, b: u8) -> u8 {
        if a == 0 {
            return 0;
        }
        self.power[self.log[usize::from(a)] + ORDER - self.log[usize::from(b)]]
    }

    /// A polynomial (lowest power first) at x^`exponent` of the generator.
    fn at(&self, polynomial: &[u8], exponent: usize) -> u8 {
        let x = self.power[exponent % ORDER];
        polynomial.iter().rev().fold(0, |sum, c| self.multiply(sum, x) ^ c)
    }

    /// The syndromes of a code word; all zero where it is one.
    fn syndromes(&self, word: &[u8; LENGTH]) -> Vec<u8> {
        let reversed: Vec<u8> = word.iter().rev().copied().collect();
        (1..=PARITY).map(|i| self.at(&reversed, i)).collect()
    }
}

/// The code word of `data`: the data first, then the parity.
pub(super) fn encode(data: &[u8; DATA]) -> [u8; LENGTH] {
    let field = Field::new();
    // The generator polynomial, highest power first: the product of (x + a^i) for i = 1..=6.
    let mut generator = vec![1u8];
    for i in 1..=PARITY {
        let mut next = generator.clone();
        next.push(0);
        for (j, c) in generator.iter().enumerate() {
            next[j + 1] ^= field.multiply(*c, field.power[i]);
        }
        generator = next;
    }
    let mut word = [0; LENGTH];
    word[..DATA].copy_from_slice(data);
    let mut rest = word;
    for i in 0..DATA {
        let factor = rest[i];
        for (j, c) in generator.iter().enumerate() {
            rest[i + j] ^= field.multiply(*c, factor);
        }
    }
    word[DATA..].copy_from_slice(&rest[DATA..]);
    word
}

/// Puts at most three wrong symbols right and tells how many there were; none where there are more.
pub(super) fn correct(word: &mut [u8; LENGTH]) -> Option<usize> {
    let field = Field::new();
    let syndromes = field.syndromes(word);
    if syndromes.iter().all(|s| *s == 0) {
        return Some(0);
    }
    let locator = locator(&field, &syndromes);
    let errors = locator.len() - 1;
    if errors > PARITY / 2 {
        return None;
    }
    // The error evaluator: syndromes times locator modulo x^6.
    let mut evaluator = [0u8; PARITY];
    for (i, s) in syndromes.iter().enumerate() {
        for (j, l) in locator.iter().enumerate().take(PARITY - i) {
            evaluator[i + j] ^= field.multiply(*s, *l);
        }
    }
    let derivative: Vec<u8> =
        (1..locator.len()).map(|i| if i % 2 == 1 { locator[i] } else { 0 }).collect();
    let mut found = 0;
    for power in 0..LENGTH {
        let inverse = (ORDER - power) % ORDER;
        if field.at(&locator, inverse) != 0 {
            continue;
        }
        let slope = field.at(&derivative, inverse);
        if slope == 0 {
            return None;
        }
        // Forney's formula with the first root at a^1: no factor of the location.
        word[LENGTH - 1 - power] ^= field.divide(field.at(&evaluator, inverse), slope);
        found += 1;
    }
    let whole = field.syndromes(word).iter().all(|s| *s == 0);
    (found == errors && whole).then_some(errors)
}

/// The error locator polynomial, lowest power first (Berlekamp and Massey).
fn locator(field: &Field, syndromes: &[u8]) -> Vec<u8> {
    let (mut current, mut previous) = (vec![1u8], vec![1u8]);
    let (mut errors, mut gap, mut last) = (0, 1, 1u8);
    for n in 0..syndromes.len() {
        let terms = (1..=errors)
            .map(|i| field.multiply(current.get(i).copied().unwrap_or(0), syndromes[n - i]));
        let discrepancy = terms.fold(syndromes[n], |sum, t| sum ^ t);
        if discrepancy == 0 {
            gap += 1;
            continue;
        }
        let factor = field.divide(discrepancy, last);
        let before = current.clone();
        current.resize(current.len().max(previous.len() + gap), 0);
        for (i, c) in previous.iter().enumerate() {
            current[i + gap] ^= field.multiply(factor, *c);
        }
        if 2 * errors <= n {
            errors = n + 1 - errors;
            (previous, last, gap) = (before, discrepancy, 1);
        } else {
            gap += 1;
        }
    }
    while current.len() > 1 && current.last() == Some(&0) {
        current.pop();
    }
    current
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_field_has_31_powers() {
        let field = Field::new();
        let mut all: Vec<u8> = field.power[..ORDER].to_vec();
        all.sort_unstable();
        assert_eq!(all, (1..32).collect::<Vec<u8>>());
    }

    proptest! {
        #[test]
        fn three_wrong_symbols_are_put_right(
            data in proptest::array::uniform18(0u8..32),
            wrong in proptest::collection::btree_map(0usize..LENGTH, 1u8..32, 0..=3),
        ) {
            let whole = encode(&data);
            let mut word = whole;
            for (place, change) in &wrong {
                word[*place] ^= change;
            }
            prop_assert_eq!(correct(&mut word), Some(wrong.len()));
            prop_assert_eq!(word, whole);
        }

        #[test]
        fn more_are_never_taken_for_the_same_word(
            data in proptest::array::uniform18(0u8..32),
            wrong in proptest::collection::btree_map(0usize..LENGTH, 1u8..32, 4..=6),
        ) {
            let whole = encode(&data);
            let mut word = whole;
            for (place, change) in &wrong {
                word[*place] ^= change;
            }
            prop_assert!(correct(&mut word).is_none() || word != whole);
        }
    }
}
