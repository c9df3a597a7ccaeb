//! The arithmetic of weak RSA moduli (CA/Browser Forum BR 6.1.1.3 and 6.1.6). Everything works on
//! public numbers, so nothing here needs constant time; everything is bounded, so that no modulus
//! costs more than another.

use std::sync::LazyLock;

use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::error::ErrorStack;

/// Trial division goes up to here.
const SMALL: u32 = 752;
/// No larger modulus is read at all, in bits.
const LARGEST: u32 = 16_384;
/// Rounds of Fermat's method; the Baseline Requirements ask for 100.
pub(super) const FERMAT_ROUNDS: u32 = 1000;
/// The primes whose residues give away a key of the ROCA library (CVE-2017-15361).
const ROCA_PRIMES: [u32; 17] =
    [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
/// A run of so many equal bytes is no accident: one modulus in 2^80 has one.
const RUN: usize = 12;

/// The remainder of a big-endian number by `m`.
fn remainder(n: &[u8], m: u32) -> u32 {
    let head = n.len() % 4;
    let (first, rest) = n.split_at(head);
    let start = first.iter().fold(0u64, |r, b| (r << 8) | u64::from(*b)) % u64::from(m);
    let words = rest.as_chunks::<4>().0.iter().map(|w| u32::from_be_bytes(*w));
    words.fold(start, |r, w| ((r << 32) | u64::from(w)) % u64::from(m)) as u32
}

fn is_small_prime(n: u32) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

/// The primes below [`SMALL`], in groups whose products fit 32 bits.
static GROUPS: LazyLock<Vec<(u32, Vec<u32>)>> = LazyLock::new(|| {
    let mut groups: Vec<(u32, Vec<u32>)> = Vec::new();
    for prime in (2..SMALL).filter(|n| is_small_prime(*n)) {
        match groups.last_mut() {
            Some((product, group)) if product.checked_mul(prime).is_some() => {
                *product *= prime;
                group.push(prime);
            }
            _ => groups.push((prime, vec![prime])),
        }
    }
    groups
});

/// The smallest prime factor below 752, if there is one.
pub(super) fn small_factor(n: &[u8]) -> Option<u32> {
    GROUPS.iter().find_map(|(product, group)| {
        let rest = remainder(n, *product);
        group.iter().copied().find(|p| rest.is_multiple_of(*p))
    })
}

/// Whether the modulus has the fingerprint of the ROCA library: modulo each of the 17 primes it is
/// a power of 65537. Another modulus has it with probability 2^-27.
pub(super) fn is_roca(n: &[u8]) -> bool {
    ROCA_PRIMES.iter().all(|p| {
        let rest = remainder(n, *p);
        let mut power = 1;
        (0..*p).any(|_| {
            power = power * (65537 % p) % p;
            power == rest
        })
    })
}

/// Whether the modulus is not random: a run of equal bytes, or far too many bits of one kind.
pub(super) fn has_pattern(n: &[u8]) -> bool {
    let run = n.windows(RUN).any(|w| w.iter().all(|b| *b == w[0]));
    let (bits, ones) = (n.len() * 8, n.iter().map(|b| b.count_ones() as usize).sum::<usize>());
    // Eight standard deviations: |ones - bits/2| > 8 * sqrt(bits)/2.
    run || (2 * ones).abs_diff(bits).pow(2) > 64 * bits
}

/// For each prime k, primes q with q = 1 modulo k: so many that a random number is a k-th power
/// modulo all of them with a probability below 2^-64.
static WITNESSES: LazyLock<Vec<(u32, Vec<u32>)>> = LazyLock::new(|| {
    let exponents = (2..=LARGEST / 9).filter(|k| is_small_prime(*k));
    let witnesses = |k: u32| {
        let count = 64 / k.ilog2() as usize;
        (1..).map(move |j| j * k + 1).filter(|q| is_small_prime(*q)).take(count).collect()
    };
    exponents.map(|k| (k, witnesses(k))).collect()
});

/// The exponent k where the modulus is a k-th power. A k-th power is one modulo every prime too;
/// what is none is found out after one or two of the witnesses.
pub(super) fn perfect_power(n: &[u8]) -> Option<u32> {
    let bits = n.len() as u32 * 8;
    // No factor is below 752, so a k-th power has at least 9 bits for each.
    let possible = WITNESSES.iter().take_while(|(k, _)| *k <= bits / 9);
    let is_power = |k: u32, q: u32| {
        let rest = remainder(n, q);
        rest == 0 || power_mod(rest, (q - 1) / k, q) == 1
    };
    possible.filter(|(k, all)| all.iter().all(|q| is_power(*k, *q))).map(|(k, _)| *k).next()
}

fn power_mod(base: u32, mut exponent: u32, m: u32) -> u32 {
    let m = u64::from(m);
    let (mut base, mut out) = (u64::from(base) % m, 1 % m);
    while exponent > 0 {
        if exponent & 1 == 1 {
            out = out * base % m;
        }
        base = base * base % m;
        exponent >>= 1;
    }
    out as u32
}

/// Whether Fermat's method factors the modulus in [`FERMAT_ROUNDS`] rounds: its primes are close.
/// Almost every round is decided by remainders alone.
pub(super) fn has_close_primes(n: &[u8]) -> Result<bool, ErrorStack> {
    const MODULI: [u32; 12] = [64, 63, 65, 11, 17, 19, 23, 29, 31, 37, 41, 43];
    let squares = MODULI.map(|m| (0..m).fold(0u128, |set, i| set | 1 << (i * i % m)));
    let number = BigNum::from_slice(n)?;
    let mut ctx = BigNumContext::new()?;
    let mut start = square_root(&number, &mut ctx)?;
    let mut square = BigNum::new()?;
    square.sqr(&start, &mut ctx)?;
    if square == number {
        return Ok(true);
    }
    start.add_word(1)?;
    let bytes = start.to_vec();
    let rests = MODULI.map(|m| (m, remainder(&bytes, m), remainder(n, m)));
    for round in 0..FERMAT_ROUNDS {
        let may_be_square = rests.iter().zip(squares).all(|((m, a, n), squares)| {
            let a = (a + round) % m;
            squares >> ((a * a + m - n) % m) & 1 == 1
        });
        if !may_be_square {
            continue;
        }
        let mut a = start.to_owned()?;
        a.add_word(round)?;
        square.sqr(&a, &mut ctx)?;
        let mut difference = BigNum::new()?;
        difference.checked_sub(&square, &number)?;
        let root = square_root(&difference, &mut ctx)?;
        square.sqr(&root, &mut ctx)?;
        if square == difference {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The integer part of the square root, by Newton's method from above.
pub(super) fn square_root(n: &BigNumRef, ctx: &mut BigNumContext) -> Result<BigNum, ErrorStack> {
    if n.num_bits() == 0 {
        return BigNum::new();
    }
    let mut root = BigNum::new()?;
    root.set_bit((n.num_bits() + 1) / 2)?;
    loop {
        let mut next = BigNum::new()?;
        next.checked_div(n, &root, ctx)?;
        let mut sum = BigNum::new()?;
        sum.checked_add(&next, &root)?;
        next.rshift1(&sum)?;
        if next >= root {
            return Ok(root);
        }
        root = next;
    }
}

/// Whether the modulus is a prime: Fermat's test to base 2, which every prime passes and a product
/// of two unknown primes in practice never does.
pub(super) fn is_prime(n: &[u8]) -> Result<bool, ErrorStack> {
    let number = BigNum::from_slice(n)?;
    let mut exponent = number.to_owned()?;
    exponent.sub_word(1)?;
    let mut result = BigNum::new()?;
    let two = BigNum::from_u32(2)?;
    result.mod_exp(&two, &exponent, &number, &mut *BigNumContext::new()?)?;
    Ok(result == BigNum::from_u32(1)?)
}
