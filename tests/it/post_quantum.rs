//! A ceremony whose root signs by ML-DSA, on a token that has it: Kryoptic, which `make kryoptic` builds.

use std::fs;
use std::path::Path;

use chancery::pki::{Certificate, KeyKind, MlDsa};

use softhsm_test::ceremony::People;

use crate::ceremony::{ceremony, text};

const PLAN: &str = include_str!("post_quantum.toml");

/// The plan with its token's module and the database of it in `folder`.
fn on_kryoptic(folder: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let module = root.join("target/kryoptic/debug/libkryoptic_pkcs11.so");
    assert!(module.is_file(), "{} is not there; `make kryoptic` builds it", module.display());
    let conf = folder.join("kryoptic.conf");
    let database = folder.join("kryoptic.sql");
    let slot = "[[slots]]\nslot = 1\ndbtype = \"sqlite\"\ndbargs = ";
    fs::write(&conf, format!("{slot}\"{}\"\n", database.display())).unwrap();
    let token = format!(
        "profile = \"kryoptic\"\nmodule = {:?}\nenvironment = {{ KRYOPTIC_CONF = {:?} }}\n",
        module.to_str().unwrap(),
        conf.to_str().unwrap()
    );
    PLAN.replace("profile = \"kryoptic\"\n", &token)
}

#[test]
fn a_root_signs_by_ml_dsa() {
    let folder = tempfile::tempdir().unwrap();
    People::default().hold(folder.path(), &on_kryoptic(folder.path())).unwrap();
    let evidence = folder.path().join("evidence");
    let verified = ceremony(&["verify", "evidence"], folder.path());
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    let read = |name: &str| {
        let pem = fs::read(evidence.join("artefacts").join(name)).unwrap();
        let (_, der) = der::pem::decode_vec(&pem).unwrap();
        Certificate::from_der(&der).unwrap()
    };
    let (root, issuing) = (read("root.pem"), read("issuing.pem"));
    assert_eq!(root.public_key().kind(), KeyKind::MlDsa(MlDsa::MlDsa87));
    assert_eq!(issuing.public_key().kind(), KeyKind::P384);
    for certificate in [&root, &issuing] {
        assert_eq!(certificate.verify_signature(root.public_key()), Ok(()));
        assert!(certificate.verify_signature(issuing.public_key()).is_err());
    }
    // One octet of the signed part changed: the evidence does not hold.
    let path = evidence.join("artefacts/issuing.pem");
    let (label, mut der) = (String::from("CERTIFICATE"), issuing.der().to_vec());
    der[100] ^= 1;
    fs::write(&path, chancery::pki::pem(&label, &der)).unwrap();
    assert_eq!(ceremony(&["verify", "evidence"], folder.path()).status.code(), Some(3));
}

#[test]
fn a_token_without_ml_dsa_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let plan = PLAN.replace("\"kryoptic\"", "\"softhsm2\"");
    fs::write(folder.path().join("plan.toml"), plan).unwrap();
    let checked = ceremony(&["plan", "check", "plan.toml"], folder.path());
    let said = text(&checked);
    assert!(checked.status.code() == Some(8) && said.contains("ML-DSA-87"), "{said}");
    let rehearsed = ceremony(&["rehearse", "plan.toml", "--out", "o"], folder.path());
    let said = text(&rehearsed);
    assert!(!rehearsed.status.success() && said.contains("ML-DSA-87"), "{said}");
}
