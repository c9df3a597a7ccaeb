//! Weak keys at the door (docs/threats.md section 3c): each with a sound key that is made the same way and
//! gets its certificate.

use openssl::bn::{BigNum, BigNumContext, MsbOption};
use openssl::ec::{Asn1Flag, EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::rsa::{Rsa, RsaPrivateKeyBuilder};
use softhsm_test::client::{Csr, Device, Key, Server, Text, der, keys};
use softhsm_test::instance::{Instance, Options};

use crate::common::{BAD_ALG, good, granted, ledger, shared};

fn prime(bits: i32) -> BigNum {
    let mut p = BigNum::new().unwrap();
    p.generate_prime(bits, false, None, None).unwrap();
    p
}

fn random(bits: i32) -> BigNum {
    let mut n = BigNum::new().unwrap();
    n.rand(bits, MsbOption::TWO_ONES, true).unwrap();
    n
}

fn times(a: &BigNum, b: &BigNum) -> BigNum {
    let mut out = BigNum::new().unwrap();
    out.checked_mul(a, b, &mut BigNumContext::new().unwrap()).unwrap();
    out
}

fn next_prime(mut p: BigNum) -> BigNum {
    let mut context = BigNumContext::new().unwrap();
    while !p.is_prime(10, &mut context).unwrap() {
        p.add_word(2).unwrap();
    }
    p
}

/// The key of modulus `n` whose private exponent follows from `phi`; none where e divides phi.
fn of_modulus(n: BigNum, phi: &BigNum) -> Option<Key> {
    let e = BigNum::from_u32(65537).unwrap();
    let mut d = BigNum::new().unwrap();
    d.mod_inverse(&e, phi, &mut BigNumContext::new().unwrap()).ok()?;
    Some(PKey::from_rsa(RsaPrivateKeyBuilder::new(n, e, d).unwrap().build()).unwrap())
}

/// The RSA key of two primes that `make` makes, of 2048 bits.
fn of_primes(make: impl FnMut() -> (BigNum, BigNum)) -> Key {
    of_primes_and_size(2048, make)
}

fn of_primes_and_size(bits: i32, mut make: impl FnMut() -> (BigNum, BigNum)) -> Key {
    let made = (0..500).find_map(|_| {
        let (mut p, mut q) = make();
        let n = times(&p, &q);
        if n.num_bits() != bits {
            return None;
        }
        p.sub_word(1).unwrap();
        q.sub_word(1).unwrap();
        of_modulus(n, &times(&p, &q))
    });
    made.expect("a key of that size")
}

/// A prime as the library with the ROCA flaw makes them: k * M + (65537^a mod M).
fn roca_prime() -> BigNum {
    let mut context = BigNumContext::new().unwrap();
    let mut primorial = BigNum::from_u32(1).unwrap();
    let primes = (2..=701u32).filter(|n| (2..*n).all(|d| n % d != 0));
    primes.for_each(|p| primorial.mul_word(p).unwrap());
    loop {
        let mut power = BigNum::new().unwrap();
        let generator = BigNum::from_u32(65537).unwrap();
        power.mod_exp(&generator, &random(256), &primorial, &mut context).unwrap();
        let mut candidate = BigNum::new().unwrap();
        let multiple = times(&random(1024 - primorial.num_bits()), &primorial);
        candidate.checked_add(&multiple, &power).unwrap();
        if candidate.num_bits() == 1024 && candidate.is_prime(5, &mut context).unwrap() {
            return candidate;
        }
    }
}

/// The failInfo and text of an enrolment with `key`, or none where it was granted.
fn outcome(instance: &Instance, server: &Server, key: Key) -> Option<(u8, String)> {
    let device = Device::with_key(key, "weak").unwrap();
    let csr = Csr::new("weak").challenge(&instance.challenge).build(&device.key).unwrap();
    let draft = server.draft(&device, "19", csr).unwrap();
    let reply = server.send(&device, &draft).unwrap();
    let (fail_info, text) = reply.failure().ok()?;
    Some((fail_info, text.unwrap_or_default().to_owned()))
}

#[track_caller]
fn refused_as(instance: &Instance, server: &Server, key: Key, why: &str) {
    let (fail_info, text) = outcome(instance, server, key).expect("a weak key got a certificate");
    assert_eq!(fail_info, BAD_ALG, "{text}");
    assert!(text.contains(why), "{why:?} in {text:?}");
}

#[test]
fn t31_roca_keys_are_refused() {
    let instance = shared();
    let server = instance.server().unwrap();
    refused_as(&instance, &server, of_primes(|| (roca_prime(), roca_prime())), "ROCA");
    // The control: one such prime alone has no such fingerprint, and plain ones have none.
    let half = of_primes(|| (roca_prime(), prime(1024)));
    assert_eq!(outcome(&instance, &server, half), None);
    let plain = of_primes(|| (prime(1024), prime(1024)));
    assert_eq!(outcome(&instance, &server, plain), None);
}

#[test]
fn t32_primes_close_to_each_other_are_refused() {
    let instance = shared();
    let server = instance.server().unwrap();
    let apart = |bit: i32| {
        of_primes(|| {
            let p = next_prime(random(1024));
            let mut q = p.to_owned().unwrap();
            let mut distance = BigNum::new().unwrap();
            distance.set_bit(bit).unwrap();
            q = &q + &distance;
            (p, next_prime(q))
        })
    };
    for bit in [2, 100, 512] {
        refused_as(&instance, &server, apart(bit), "close");
    }
    // The control: a distance that no method finds.
    assert_eq!(outcome(&instance, &server, apart(1000)), None);
}

#[test]
fn t33_listed_keys_are_refused_and_a_missing_list_keeps_the_signer_from_starting() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let (listed, other) = (keys::rsa().unwrap(), keys::rsa().unwrap());
    let digest = openssl::sha::sha256(&listed.public_key_to_der().unwrap());
    let hash: String = digest[..10].iter().map(|b| format!("{b:02x}")).collect();
    let path = instance.folder().join("debian.txt");
    std::fs::write(&path, format!("# as Debian's lists are: truncated digests\n{hash}\n")).unwrap();
    // Without a list the start says so.
    instance.start().unwrap();
    assert!(instance.logs().contains("no key_blocklists"), "{}", instance.logs());
    let server = instance.server().unwrap();
    assert_eq!(outcome(&instance, &server, keys::rsa().unwrap()), None);
    instance.stop().unwrap();

    let setting = format!("[profile.device]\nkey_blocklists = [{:?}]", path.display().to_string());
    instance.configure(|text| text.replace("[profile.device]", &setting)).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    refused_as(&instance, &server, listed, "compromised");
    assert_eq!(outcome(&instance, &server, other), None, "the control");
    instance.stop().unwrap();
    std::fs::remove_file(&path).unwrap();
    let check = instance.command(&["config", "check"]).unwrap();
    assert_eq!(check.status.code(), Some(8));
    assert!(instance.start().is_err());
}

#[test]
fn t34_broken_moduli_and_exponents_are_refused() {
    let instance = shared();
    let server = instance.server().unwrap();
    let small_factor = |factor: u32| {
        let small = BigNum::from_u32(factor).unwrap();
        let made = (0..500).find_map(|_| {
            let (mut p, mut q) = (prime(1024), prime(1024 - small.num_bits() + 1));
            let n = times(&times(&p, &q), &small);
            p.sub_word(1).unwrap();
            q.sub_word(1).unwrap();
            let phi = times(&times(&p, &q), &BigNum::from_u32(factor - 1).unwrap());
            (n.num_bits() == 2048).then(|| of_modulus(n, &phi)).flatten()
        });
        made.unwrap()
    };
    refused_as(&instance, &server, small_factor(3), "divisible by 3");
    refused_as(&instance, &server, small_factor(751), "divisible by 751");
    let square = (0..500).find_map(|_| {
        let p = prime(1024);
        let mut less = p.to_owned().unwrap();
        less.sub_word(1).unwrap();
        let n = times(&p, &p);
        (n.num_bits() == 2048).then(|| of_modulus(n, &times(&p, &less))).flatten()
    });
    refused_as(&instance, &server, square.unwrap(), "power");
    let three = BigNum::from_u32(3).unwrap();
    let three = PKey::from_rsa(Rsa::generate_with_e(2048, &three).unwrap()).unwrap();
    refused_as(&instance, &server, three, "exponent is 3");
    refused_as(&instance, &server, keys::fresh_rsa(2040).unwrap(), "2048 or more");
    let odd = of_primes_and_size(2049, || (prime(1025), prime(1024)));
    refused_as(&instance, &server, odd, "does not allow RSA-2049");
    // The control: made by the same code from two sound primes; 757 is the first factor beyond the bound.
    let sound = of_primes(|| (prime(1024), prime(1024)));
    assert_eq!(outcome(&instance, &server, sound), None);
    assert_eq!(outcome(&instance, &server, small_factor(757)), None);
}

/// A renewal reaches the EC keys, because the RSA certificate that signs can be answered.
#[test]
fn t36_points_and_curves_are_as_they_must_be() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance
        .configure(|text| {
            let text = text.replace(
                "[endpoint.device]",
                "[endpoint.device]\nrenewal = { window = \"3650d\" }",
            );
            text.replace("key_types = [\"rsa-2048\"", "key_types = [\"p-256\", \"rsa-2048\"")
        })
        .unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "curve");
    let certificate = granted(&instance, &server, &device, &draft);
    let old = Device::issued(device.key, certificate);
    let renewed = |csr: &Csr, key: &Key, id: &str| {
        let mut draft = server.draft(&old, "17", csr.build(key).unwrap()).unwrap();
        draft.message.transaction_id = Text::printable(&format!("t36 {id}"));
        server.send(&old, &draft).unwrap()
    };
    let key = keys::fresh_ec(Nid::X9_62_PRIME256V1).unwrap();
    let spki = key.public_key_to_der().unwrap();
    let point = spki[spki.len() - 65..].to_vec();
    let with_point = |bytes: &[u8]| {
        let algorithm =
            der::seq(&[&der::oid("1.2.840.10045.2.1"), &der::oid("1.2.840.10045.3.1.7")]);
        Csr { public_key: Some(der::seq(&[&algorithm, &der::bits(bytes)])), ..Csr::new("curve") }
    };
    assert_eq!(with_point(&point).public_key, Some(spki.clone()), "the control of the generator");
    let mut off = point.clone();
    off[64] ^= 1;
    let parity = point[64] & 1;
    let mut hybrid = point.clone();
    hybrid[0] = 6 + parity;
    let compressed = [&[2 + parity], &point[1..33]].concat();
    let long = [&point[..], &[0]].concat();
    for (what, bytes) in [
        ("off the curve", off),
        ("infinity", vec![0]),
        ("compressed", compressed),
        ("hybrid", hybrid),
        ("short", point[..64].to_vec()),
        ("long", long),
        ("nothing", Vec::new()),
    ] {
        let reply = renewed(&with_point(&bytes), &key, what);
        assert!(reply.failure().is_ok(), "{what}: {reply:?}");
    }
    for curve in [Nid::SECP256K1, Nid::SECP224R1, Nid::BRAINPOOL_P256R1, Nid::SECP384R1] {
        let other = keys::fresh_ec(curve).unwrap();
        let reply = renewed(&Csr::new("curve"), &other, &format!("{curve:?}"));
        assert!(reply.failure().is_ok(), "{curve:?}: {reply:?}");
    }
    // The same curve, its parameters written out.
    let mut group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    group.set_asn1_flag(Asn1Flag::EXPLICIT_CURVE);
    let explicit = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    assert!(explicit.public_key_to_der().unwrap().len() > spki.len());
    assert!(renewed(&Csr::new("curve"), &explicit, "explicit").failure().is_ok());
    // The control: the sound key gets its certificate in the same way.
    let reply = renewed(&Csr::new("curve"), &key, "sound");
    assert_eq!(reply.certificate().unwrap().spki, spki);
}

/// What is wrong with serial numbers, as content octets of INTEGERs.
fn unsound(serials: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for serial in serials {
        let shown = serial.escape_ascii().to_string();
        match serial.as_slice() {
            [] | [0] => found.push(format!("{shown} is zero")),
            [first, ..] if first & 0x80 != 0 => found.push(format!("{shown} is negative")),
            [0, second, ..] if second & 0x80 == 0 => found.push(format!("{shown} is not minimal")),
            all if all.len() > 20 || all.len() < 9 => {
                found.push(format!("{shown} has {} octets", all.len()));
            }
            _ => {}
        }
        if !seen.insert(serial.clone()) {
            found.push(format!("{shown} is there twice"));
        }
    }
    // 64 bits and more from a good source: the leading octets of neighbours have nothing in common.
    let leading = |s: &Vec<u8>| s.iter().copied().find(|b| *b != 0).unwrap_or_default();
    let leads: std::collections::BTreeSet<u8> = serials.iter().map(leading).collect();
    if serials.len() >= 20 && leads.len() < serials.len() / 3 {
        found.push(format!("{} leading octets in {} serials", leads.len(), serials.len()));
    }
    found
}

#[test]
fn t40_serial_numbers_are_random_positive_and_reserved_before_they_are_used() {
    let instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    let serials: Vec<Vec<u8>> = (0..24)
        .map(|n| {
            let (device, draft) = good(&instance, &server, &format!("serial {n}"));
            granted(&instance, &server, &device, &draft).serial[2..].to_vec()
        })
        .collect();
    assert_eq!(unsound(&serials), Vec::<String>::new());
    // Each stands in a reservation before its certificate does.
    let entries = ledger(&instance);
    for certificate in entries.iter().filter(|e| e.event == "certificate") {
        let reserved = entries
            .iter()
            .find(|e| e.event == "reservation" && e.field("serial") == certificate.field("object"));
        assert!(reserved.expect("a reservation").sequence < certificate.sequence);
    }
    // The control: counters, repeats, and every wrong encoding are noticed.
    let counter: Vec<Vec<u8>> = (0..24).map(|n| vec![0x11, 1, 2, 3, 4, 5, 6, 7, 8, n]).collect();
    assert!(!unsound(&counter).is_empty());
    for wrong in
        [vec![0], vec![0x80; 16], vec![1; 21], vec![1; 8], vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]
    {
        assert_eq!(unsound(&[wrong]).len(), 1);
    }
    assert_eq!(unsound(&[vec![1; 16], vec![1; 16]]).len(), 1);
}
