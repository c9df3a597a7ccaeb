use proptest::prelude::*;

use super::super::testing::{ber_of, device, openssl_in, ra};
use super::super::tlv;
use super::*;

const LIMIT: usize = 64 * 1024;

fn hex_der(input: &str) -> Result<String, BerError> {
    to_der(&hex::decode(input.replace(' ', "")).unwrap(), LIMIT).map(hex::encode)
}

#[test]
fn makes_lengths_definite_and_minimal() {
    assert_eq!(hex_der("30 80 020105 0000"), Ok("3003020105".into()));
    assert_eq!(hex_der("30 81 03 020105"), Ok("3003020105".into()));
    assert_eq!(hex_der("30 88 0000000000000003 020105"), Ok("3003020105".into()));
    assert_eq!(hex_der("30 80 31 80 0000 0000"), Ok("30023100".into()));
    assert_eq!(hex_der("30 80 0000"), Ok("3000".into()));
    assert_eq!(hex_der("04 00"), Ok("0400".into()));
}

#[test]
fn flattens_octet_strings() {
    assert_eq!(hex_der("24 80 0401aa 0402bbcc 0000"), Ok("0403aabbcc".into()));
    assert_eq!(hex_der("24 07 0401aa 0402bbcc"), Ok("0403aabbcc".into()));
    assert_eq!(hex_der("24 80 2480 0401aa 0000 2403 0401bb 0400 0000"), Ok("0402aabb".into()));
    assert_eq!(hex_der("24 00"), Ok("0400".into()));
    assert_eq!(hex_der("30 80 24 80 0000 020101 0000"), Ok("30050400020101".into()));
    // The length of what surrounds them shrinks past a boundary of the length's own form.
    let segments = tlv(0x24, &[&tlv(4, &[&[7; 60]]), &tlv(4, &[&[8; 66]])]);
    let flat = tlv(0x30, &[&tlv(4, &[&[[7; 60].as_slice(), &[8; 66]].concat()])]);
    assert_eq!(to_der(&tlv(0x30, &[&segments]), LIMIT), Ok(flat));
}

#[test]
fn refuses_what_is_not_ber() {
    use BerError::{Invalid, Trailing, Truncated};
    for (input, error) in [
        ("", Truncated(0)),
        ("30", Truncated(0)),
        ("30 03 0201", Truncated(0)),
        ("30 02 0201", Truncated(2)),
        ("30 82 01", Truncated(0)),
        ("30 80", Truncated(2)),
        ("30 80 020105 00", Invalid(5)),
        // An indefinite element cannot borrow the end of its definite parent's sibling.
        ("30 06 30 02 30 80 0000 0000", Truncated(6)),
        ("30 04 30 80 0201 05 0000", Truncated(4)),
        ("30 00 00", Trailing(2)),
        ("30 80 0000 0a", Trailing(4)),
        ("04 80 0000", Invalid(0)), // a primitive element of indefinite length
        ("0000", Invalid(0)),       // end-of-contents out of place
        ("30 02 0000", Invalid(2)), // the same in a definite element
        ("30 80 0001 00 0000", Invalid(2)), // end-of-contents with a length
        ("10 00", Invalid(0)),      // a primitive SEQUENCE
        ("11 00", Invalid(0)),      // a primitive SET
        ("22 03 020105", Invalid(0)), // a constructed INTEGER
        ("2c 03 0c0141", Invalid(0)), // a constructed UTF8String
        ("23 04 03020000", Invalid(0)), // a constructed BIT STRING
        ("24 03 020105", Invalid(2)), // an INTEGER as a segment
        ("24 04 3002 0400", Invalid(2)), // a SEQUENCE as a segment
        ("1f 81 01 00", Invalid(0)), // a tag number of 31 or more
        ("bf 81 01 00", Invalid(0)),
        ("30 89 010000000000000000", Invalid(0)), // a length beyond all address space
    ] {
        let bytes = hex::decode(input.replace(' ', "")).unwrap();
        assert_eq!(to_der(&bytes, LIMIT), Err(error), "{input}");
    }
    let overflow = [vec![0x30, 0x88], vec![0xff; 8]].concat();
    assert_eq!(to_der(&overflow, LIMIT), Err(Truncated(0)));
}

#[test]
fn t20_depth_and_size_are_bounded() {
    let nested = |depth: usize, open: &[u8]| {
        [open.repeat(depth), [0, 0].repeat(if open[1] == 0x80 { depth } else { 0 })].concat()
    };
    assert!(to_der(&nested(MAX_DEPTH, &[0x30, 0x80]), LIMIT).is_ok());
    for open in [[0x30, 0x80], [0x24, 0x80], [0xa0, 0x80]] {
        let error = to_der(&nested(MAX_DEPTH + 1, &open), LIMIT).unwrap_err();
        assert_eq!(error, BerError::TooDeep(2 * MAX_DEPTH));
        // A bomb of two megabytes costs no more than a look at its beginning.
        assert_eq!(to_der(&open.repeat(1 << 20), 4 << 20), Err(error));
    }
    assert_eq!(to_der(&[0x30; 11], 10), Err(BerError::TooLong { len: 11, limit: 10 }));
}

#[test]
fn sets_keep_their_order() {
    assert_eq!(hex_der("31 80 0401ff 020101 0000"), Ok("31060401ff020101".into()));
}

#[test]
fn der_of_real_certificates_is_left_alone() {
    for identity in [ra(), device()] {
        let der = identity.certificate.der();
        assert_eq!(to_der(der, LIMIT).as_deref(), Ok(der));
    }
}

#[test]
fn agrees_with_openssl_about_streamed_messages() {
    let dir = tempfile::tempdir().unwrap();
    ra().write(dir.path(), "ra");
    for len in [1, 1000, 5000, 20_000] {
        std::fs::write(dir.path().join("data"), vec![b'x'; len]).unwrap();
        let sign = "cms -sign -binary -nodetach -signer ra.pem -inkey ra.key -in data -outform DER";
        let ber = openssl_in(dir.path(), &format!("{sign} -stream"));
        std::fs::write(dir.path().join("ber"), &ber).unwrap();
        assert_eq!(ber[1], 0x80, "openssl streams with indefinite lengths");
        let expected = openssl_in(dir.path(), "cms -cmsout -inform DER -in ber -outform DER");
        assert_eq!(to_der(&ber, LIMIT).unwrap(), expected, "{len}");
    }
}

#[test]
fn agrees_with_openssl_about_any_ber_of_a_message() {
    let dir = tempfile::tempdir().unwrap();
    ra().write(dir.path(), "ra");
    std::fs::write(dir.path().join("data"), b"some data").unwrap();
    let sign = "cms -sign -binary -nodetach -signer ra.pem -inkey ra.key -in data -outform DER";
    let der = openssl_in(dir.path(), sign);
    for seed in 0..20u32 {
        let mut state = seed;
        let ber = ber_of(&der, &mut || {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
            (state >> 16) as u8
        });
        std::fs::write(dir.path().join("ber"), &ber).unwrap();
        assert!(to_der(&ber, LIMIT).unwrap() == der, "seed {seed}");
        // OpenSSL reads the same in it. It keeps certificates and parameters as they came, so
        // that its own output has to be made DER as well.
        openssl_in(dir.path(), "asn1parse -inform DER -in ber -noout");
        let theirs = openssl_in(dir.path(), "cms -cmsout -inform DER -in ber -outform DER");
        assert!(to_der(&theirs, LIMIT).unwrap() == der, "seed {seed}");
    }
}

/// DER trees of a few elements, some of them with long contents.
fn der_tree() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        proptest::collection::vec(any::<u8>(), 120..140),
        proptest::collection::vec(any::<u8>(), 250..300),
    ];
    let leaf = (prop_oneof![Just(4u8), Just(2), Just(0x80), Just(0x13), Just(4)], bytes)
        .prop_map(|(tag, content)| tlv(tag, &[&content]));
    leaf.prop_recursive(6, 40, 5, |inner| {
        (prop_oneof![Just(0x30u8), Just(0x31), Just(0xa0)], proptest::collection::vec(inner, 0..5))
            .prop_map(|(tag, parts)| tlv(tag, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_ber_of_a_value_gives_its_der(der in der_tree(), choices in proptest::collection::vec(any::<u8>(), 1..50)) {
        let mut choices = choices.into_iter().cycle();
        let ber = ber_of(&der, &mut || choices.next().unwrap());
        prop_assert_eq!(to_der(&ber, LIMIT), Ok(der.clone()));
        prop_assert!(to_der(&der, LIMIT).is_ok_and(|out| out == der));
        // No proper prefix is a whole element, and nothing may follow.
        for cut in 0..ber.len() {
            prop_assert!(to_der(&ber[..cut], LIMIT).is_err());
        }
        prop_assert!(to_der(&[ber.as_slice(), &[0]].concat(), LIMIT).is_err());
    }

    #[test]
    fn t20_whatever_is_accepted_is_der_and_no_longer(
        der in der_tree(),
        choices in proptest::collection::vec(any::<u8>(), 1..50),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut choices = choices.into_iter().cycle();
        let mut ber = ber_of(&der, &mut || choices.next().unwrap());
        for (at, value) in damage {
            let at = at.index(ber.len());
            ber[at] = value;
        }
        if let Ok(out) = to_der(&ber, LIMIT) {
            prop_assert!(out.len() <= 2 * ber.len());
            prop_assert_eq!(to_der(&out, LIMIT), Ok(out.clone()));
            is_strict(&out);
        }
    }

    #[test]
    fn t20_random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(out) = to_der(&bytes, LIMIT) {
            is_strict(&out);
        }
    }
}

/// An independent look at DER: definite, minimal lengths that add up, no constructed string.
fn is_strict(der: &[u8]) {
    let mut at = 0;
    while at < der.len() {
        let (tag, first) = (der[at], usize::from(der[at + 1]));
        let octets = first.saturating_sub(0x80);
        assert!(octets <= 8 && first != 0x80, "an indefinite or absurd length");
        let len = der[at + 2..at + 2 + octets].iter().fold(0, |l, b| l << 8 | usize::from(*b));
        let len = if octets == 0 { first } else { len };
        assert!(octets == 0 || len >= 0x80 && len >> (8 * (octets - 1)) != 0, "not minimal");
        let content = &der[at + 2 + octets..at + 2 + octets + len];
        if tag & 0x20 != 0 {
            assert!(tag >= 0x40 || matches!(tag, 0x30 | 0x31), "{tag:02x} constructed");
            is_strict(content);
        }
        at += 2 + octets + len;
    }
}
