//! A list of keys that are refused: what it says of a key is what its lines say.
#![no_main]

use std::sync::LazyLock;

use chancery::pki::PublicKey;
use chancery::ra::Blocklist;
use libfuzzer_sys::fuzz_target;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;

/// A key that is nobody's, on the curve's generator.
static KEY: LazyLock<PublicKey> = LazyLock::new(|| {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    let key = EcKey::from_public_key(&group, group.generator()).expect("a point");
    PublicKey::from_openssl(&PKey::from_ec_key(key).expect("a key")).expect("a key")
});

fuzz_target!(|text: &str| {
    let Ok(list) = Blocklist::parse(text) else { return };
    let digits: String = KEY.fingerprint().iter().map(|b| format!("{b:02x}")).collect();
    let lines = || text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    assert!(list.len() <= lines().count() && list.is_empty() == (list.len() == 0));
    let listed = lines().any(|line| digits.starts_with(&line.to_ascii_lowercase()));
    assert_eq!(list.contains(&KEY), listed);
});
