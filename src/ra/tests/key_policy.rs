//! Weak keys of every class, made here from their definitions.

use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;

use crate::pki::tests::fixtures::{ec_key, p256_key, public, rsa_key, seq, tlv};
use crate::pki::{KeyKind, PublicKey};
use crate::ra::rsa::{has_close_primes, has_pattern, is_roca, square_root};
use crate::ra::{Blocklist, BlocklistError, Exponents, KeyPolicy, KeyPolicyError};

const RSA_ALGORITHM: &str = "300d06092a864886f70d0101010500";

/// The key with modulus `n` and exponent `e`, both as they are.
fn rsa(n: &BigNum, e: u32) -> PublicKey {
    let e = BigNum::from_u32(e).unwrap();
    rsa_big(n, &e)
}

fn rsa_big(n: &BigNum, e: &BigNum) -> PublicKey {
    let key = Rsa::from_public_components(copy(n), copy(e)).unwrap();
    PublicKey::from_spki(&PKey::from_rsa(key).unwrap().public_key_to_der().unwrap()).unwrap()
}

fn copy(n: &BigNumRef) -> BigNum {
    n.to_owned().unwrap()
}

fn check(n: &BigNum) -> Result<(), KeyPolicyError> {
    KeyPolicy::default().check(&rsa(n, 65537))
}

fn prime(bits: i32) -> BigNum {
    let mut p = BigNum::new().unwrap();
    p.generate_prime(bits, false, None, None).unwrap();
    p
}

fn times(a: &BigNum, b: &BigNum) -> BigNum {
    let mut out = BigNum::new().unwrap();
    out.checked_mul(a, b, &mut BigNumContext::new().unwrap()).unwrap();
    out
}

/// A random odd number with its two highest bits set.
fn odd(bits: i32) -> BigNum {
    let mut n = BigNum::new().unwrap();
    n.rand(bits, openssl::bn::MsbOption::TWO_ONES, true).unwrap();
    n
}

/// The next prime at or after `start`.
fn next_prime(start: &BigNum) -> BigNum {
    let mut p = copy(start);
    if !p.is_bit_set(0) {
        p.add_word(1).unwrap();
    }
    let mut ctx = BigNumContext::new().unwrap();
    while !p.is_prime(20, &mut ctx).unwrap() {
        p.add_word(2).unwrap();
    }
    p
}

/// A number of exactly `bits` bits that `make` can make.
fn of_size(bits: i32, mut make: impl FnMut() -> BigNum) -> BigNum {
    (0..1000).map(|_| make()).find(|n| n.num_bits() == bits).unwrap()
}

#[test]
fn good_keys_pass() {
    let mut policy = KeyPolicy::default();
    policy.curves.push(KeyKind::Ed25519);
    for bits in [2048, 2048, 2048, 3072, 4096] {
        let key = public(&PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap());
        assert_eq!(policy.check(&key), Ok(()));
    }
    for curve in [Nid::X9_62_PRIME256V1, Nid::SECP384R1, Nid::SECP521R1] {
        assert_eq!(policy.check(&public(&ec_key(curve))), Ok(()));
    }
    assert_eq!(policy.check(&public(&PKey::generate_ed25519().unwrap())), Ok(()));
}

#[test]
fn kinds_and_sizes_are_the_profile_s() {
    let policy = KeyPolicy { curves: vec![KeyKind::P384], ..KeyPolicy::default() };
    for bits in [1024, 2040, 2056, 2049, 8192] {
        let refused = policy.check(&rsa(&odd(bits), 65537));
        assert!(matches!(refused, Err(KeyPolicyError::NotAllowed { .. })), "{bits}");
    }
    let refused = policy.check(&public(&p256_key())).unwrap_err();
    let text =
        "the profile does not allow P-256 keys; it allows RSA-2048, RSA-3072, RSA-4096, P-384";
    assert_eq!(refused.to_string(), text);
    let ed25519 = public(&PKey::generate_ed25519().unwrap());
    assert!(matches!(policy.check(&ed25519), Err(KeyPolicyError::NotAllowed { .. })));
}

#[test]
fn t34_exponents() {
    let n = BigNum::from_slice(&rsa_key().rsa().unwrap().n().to_vec()).unwrap();
    let wide = KeyPolicy { exponents: Exponents::Wide, ..KeyPolicy::default() };
    for e in [1, 3, 17, 257, 65535, 65536, 65538, 65539] {
        let refused = KeyPolicy::default().check(&rsa(&n, e));
        assert_eq!(refused, Err(KeyPolicyError::Exponent(e.to_string())));
        assert_eq!(wide.check(&rsa(&n, e)).is_ok(), e == 65539, "{e}");
    }
    let mut large = BigNum::new().unwrap();
    large.set_bit(300).unwrap();
    large.add_word(1).unwrap();
    assert!(matches!(wide.check(&rsa_big(&n, &large)), Err(KeyPolicyError::Exponent(_))));
    large.clear_bit(300).unwrap();
    large.set_bit(63).unwrap();
    assert_eq!(wide.check(&rsa_big(&n, &large)), Ok(()));
}

#[test]
fn t34_even_and_small_factors() {
    let mut even = odd(2048);
    even.clear_bit(0).unwrap();
    assert_eq!(check(&even), Err(KeyPolicyError::EvenModulus));
    let multiple = |factor| {
        let small = BigNum::from_u32(factor).unwrap();
        let mut bits = [0, 1].into_iter().cycle().map(|more| 1024 - small.num_bits() + more);
        of_size(2048, || times(&times(&prime(1024), &prime(bits.next().unwrap())), &small))
    };
    for factor in [3, 29, 349, 743, 751] {
        assert_eq!(check(&multiple(factor)), Err(KeyPolicyError::SmallFactor(factor)));
    }
    // 757 is beyond the bound; nothing else is wrong with it.
    assert_eq!(check(&multiple(757)), Ok(()));
}

/// A prime as the ROCA library makes them: k * M + (65537^a mod M).
fn roca_prime(bits: i32) -> BigNum {
    let mut ctx = BigNumContext::new().unwrap();
    let mut primorial = BigNum::from_u32(1).unwrap();
    // The first 126 primes for keys of 2048 bits.
    let primes = (2..=701u32).filter(|n| (2..*n).all(|d| n % d != 0));
    primes.for_each(|p| primorial.mul_word(p).unwrap());
    loop {
        let mut power = BigNum::new().unwrap();
        let generator = BigNum::from_u32(65537).unwrap();
        power.mod_exp(&generator, &odd(256), &primorial, &mut ctx).unwrap();
        let k = odd(bits - primorial.num_bits());
        let mut candidate = BigNum::new().unwrap();
        candidate.checked_add(&times(&k, &primorial), &power).unwrap();
        if candidate.num_bits() == bits && candidate.is_prime(10, &mut ctx).unwrap() {
            return candidate;
        }
    }
}

#[test]
fn t31_roca() {
    for _ in 0..3 {
        let n = of_size(2048, || times(&roca_prime(1024), &roca_prime(1024)));
        assert_eq!(check(&n), Err(KeyPolicyError::Roca));
    }
    // One such prime alone is no such modulus.
    let n = of_size(2048, || times(&roca_prime(1024), &prime(1024)));
    assert_eq!(check(&n), Ok(()));
    let found = (0..20_000).filter(|_| is_roca(&odd(2048).to_vec())).count();
    assert!(found <= 1, "{found} of 20000 random numbers have the fingerprint");
}

#[test]
fn t32_close_primes() {
    for gap in [1, 256, 512, 516] {
        let n = of_size(2048, || {
            let p = next_prime(&odd(1024));
            let mut distance = BigNum::new().unwrap();
            distance.set_bit(gap).unwrap();
            let mut start = BigNum::new().unwrap();
            start.checked_add(&p, &distance).unwrap();
            times(&p, &next_prime(&start))
        });
        assert_eq!(check(&n), Err(KeyPolicyError::ClosePrimes), "gap 2^{gap}");
    }
    // Found after exactly so many rounds: n = (a - b)(a + b) with a the number of the round.
    for (round, found) in [(1u32, true), (100, true), (999, true), (1000, true), (1100, false)] {
        // a^2 - n = b^2, and b^2 about 2a(round - 1/2) puts a so many steps above the root of n.
        let a = odd(1024);
        let square = times(&a, &BigNum::from_u32(2 * round - 1).unwrap());
        let mut b = square_root(&square, &mut BigNumContext::new().unwrap()).unwrap();
        b.clear_bit(0).unwrap(); // keeps the product odd
        let n = times(&(&a - &b), &(&a + &b));
        let close = has_close_primes(&n.to_vec()).unwrap();
        assert_eq!(close, found, "round {round}");
    }
}

#[test]
fn t34_powers_and_primes() {
    let square = of_size(2048, || {
        let p = prime(1024);
        times(&p, &p)
    });
    assert_eq!(check(&square), Err(KeyPolicyError::PerfectPower(2)));
    let power = |k: u32, bits: i32| {
        of_size(2048, || {
            let p = prime(bits);
            (1..k).fold(copy(&p), |n, _| times(&n, &p))
        })
    };
    assert_eq!(check(&power(3, 683)), Err(KeyPolicyError::PerfectPower(3)));
    assert_eq!(check(&power(5, 410)), Err(KeyPolicyError::PerfectPower(5)));
    assert_eq!(check(&power(19, 108)), Err(KeyPolicyError::PerfectPower(19)));
    assert_eq!(check(&prime(2048)), Err(KeyPolicyError::PrimeModulus));
}

#[test]
fn t34_patterns() {
    let mut bytes = odd(2048).to_vec();
    bytes[100..112].fill(0xaa);
    let patterned = |bytes: &[u8]| has_pattern(bytes);
    assert!(patterned(&bytes));
    assert!(patterned(&[0x11, 0x01].repeat(128)), "few ones");
    assert!(patterned(&[0xfd, 0xbf].repeat(128)), "few zeros");
    assert!((0..10_000).all(|_| !patterned(&odd(2048).to_vec())));
}

#[test]
fn t36_encodings_are_the_one_allowed() {
    let policy =
        KeyPolicy { curves: vec![KeyKind::P256, KeyKind::Ed25519], ..KeyPolicy::default() };
    let check = |algorithm: &str, bits: &[u8]| {
        let bits = tlv(der::Tag::BitString, &[&[0], bits].concat());
        let spki = seq(&[&hex::decode(algorithm).unwrap(), &bits]);
        PublicKey::from_spki(&spki).map(|key| policy.check(&key))
    };
    let good = public(&rsa_key()).key_bits();
    assert_eq!(check(RSA_ALGORITHM, &good), Ok(Ok(())));
    // The parameters of RSA left out.
    assert_eq!(check("300b06092a864886f70d010101", &good), Ok(Err(KeyPolicyError::Algorithm)));
    let refused = |result: Result<Result<(), KeyPolicyError>, _>| match result {
        Err(_) => true,
        Ok(result) => matches!(result, Err(KeyPolicyError::Encoding(_))),
    };
    let trailing = [good.as_slice(), &[5, 0]].concat();
    assert!(refused(check(RSA_ALGORITHM, &trailing)));
    let key = rsa_key().rsa().unwrap();
    let padded = [&[0, 0], key.n().to_vec().as_slice()].concat();
    let e = tlv(der::Tag::Integer, &[1, 0, 1]);
    assert!(refused(check(RSA_ALGORITHM, &seq(&[&tlv(der::Tag::Integer, &padded), &e]))));
    let negative = tlv(der::Tag::Integer, &key.n().to_vec());
    assert!(refused(check(RSA_ALGORITHM, &seq(&[&negative, &e]))));

    let p256 = "301306072a8648ce3d020106082a8648ce3d030107";
    let point = public(&p256_key()).key_bits();
    assert_eq!(check(p256, &point), Ok(Ok(())));
    let parity = 2 + (point[64] & 1);
    assert!(refused(check(p256, &[&[parity], &point[1..33]].concat())), "compressed");
    assert!(refused(check(p256, &[&[4 + parity], &point[1..]].concat())), "hybrid");
    assert!(refused(check(p256, &[0])), "infinity");
}

#[test]
fn small_ed25519_points() {
    let policy = KeyPolicy { curves: vec![KeyKind::Ed25519], ..KeyPolicy::default() };
    let check = |y: [u8; 32]| {
        let key = PKey::public_key_from_raw_bytes(&y, openssl::pkey::Id::ED25519).unwrap();
        policy.check(&PublicKey::from_openssl(&key).unwrap())
    };
    let one = |last| {
        let mut y = [0; 32];
        (y[0], y[31]) = (1, last);
        y
    };
    let order_eight = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let order_eight = <[u8; 32]>::try_from(hex::decode(order_eight).unwrap()).unwrap();
    for y in [one(0), one(0x80), [0; 32], order_eight] {
        assert_eq!(check(y), Err(KeyPolicyError::SmallOrder));
    }
    let mut beyond = [0xff; 32];
    (beyond[0], beyond[31]) = (0xee, 0x7f); // p + 1, the neutral point again
    assert!(matches!(check(beyond), Err(KeyPolicyError::Encoding(_))));
}

#[test]
fn t33_t35_blocked_and_own_keys() {
    let (listed, other) = (public(&p256_key()), public(&p256_key()));
    let hash = hex::encode(&listed.fingerprint()[..10]);
    let list = Blocklist::parse(&format!("# keys\n\n{hash}\nffffffffffffffffffff\n")).unwrap();
    assert_eq!(list.len(), 2);
    let mut policy = KeyPolicy { blocklists: vec![list.into()], ..KeyPolicy::default() };
    assert_eq!(policy.check(&listed), Err(KeyPolicyError::Blocklisted));
    assert_eq!(policy.check(&other), Ok(()));
    policy.refuse_own("ca issuing", &other);
    assert_eq!(policy.check(&other), Err(KeyPolicyError::OwnKey("ca issuing".into())));
    // Another exponent is no other key.
    let ours = public(&rsa_key());
    policy.refuse_own("ra decryption", &ours);
    policy.exponents = Exponents::Wide;
    let n = BigNum::from_slice(&rsa_key().rsa().unwrap().n().to_vec()).unwrap();
    assert!(matches!(policy.check(&rsa(&n, 65539)), Err(KeyPolicyError::OwnKey(_))));
}

#[test]
fn blocklists_are_read_strictly() {
    let keys: Vec<PublicKey> = (0..40).map(|_| public(&p256_key())).collect();
    let text: String = keys.iter().take(20).map(|k| hex::encode(k.fingerprint()) + "\n").collect();
    let list = Blocklist::parse(&text).unwrap();
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(list.contains(key), i < 20);
    }
    assert!(Blocklist::parse("# nothing").unwrap().is_empty());
    assert!(!Blocklist::parse("").unwrap().contains(&keys[0]));
    assert_eq!(Blocklist::parse("\nxyz"), Err(BlocklistError::Line(2)));
    assert_eq!(Blocklist::parse("0011"), Err(BlocklistError::Line(1)));
    let mixed = "0011223344556677\n001122334455667788";
    assert!(matches!(Blocklist::parse(mixed), Err(BlocklistError::Width { line: 2, .. })));
}
