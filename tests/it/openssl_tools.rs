//! What others say of our certificates: openssl's strict verification and GnuTLS's certtool.

use std::path::Path;
use std::process::Command;

use openssl::x509::X509;
use softhsm_test::client::{Csr, Parts};
use softhsm_test::instance::{Instance, Options};

use crate::common::{good, granted, run, shared, with_csr};

/// The certificate, the chain and the root as PEM files in `folder`, verified by both tools.
pub fn verified(instance: &Instance, certificate: &Path, folder: &Path) {
    run(Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"])
        .arg(&instance.root)
        .arg("-untrusted")
        .arg(&instance.chain)
        .arg(certificate));
    let both = folder.join("both.pem");
    let read = |path: &Path| std::fs::read(path).unwrap();
    std::fs::write(&both, [read(certificate), read(&instance.chain)].concat()).unwrap();
    run(Command::new("certtool")
        .args(["--verify", "--load-ca-certificate"])
        .arg(&instance.root)
        .arg("--infile")
        .arg(&both));
}

fn pem(certificate: &Parts) -> Vec<u8> {
    X509::from_der(&certificate.der).unwrap().to_pem().unwrap()
}

#[test]
fn both_tools_verify_a_device() {
    let instance = shared();
    let server = instance.server().unwrap();
    let csr = Csr::new("device").challenge(&instance.challenge).dns_names(&["device.example"]);
    let (device, draft) = with_csr(&server, "device", csr);
    let certificate = granted(&instance, &server, &device, &draft);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.pem");
    std::fs::write(&path, pem(&certificate)).unwrap();
    verified(&instance, &path, folder.path());
}

#[test]
fn both_tools_verify_under_every_kind_of_ca_key() {
    for kind in ["rsa-2048", "rsa-3072", "rsa-4096", "p-256", "p-384"] {
        let arguments = vec!["--ca-key".to_owned(), kind.to_owned()];
        let mut instance = Instance::create(&Options { arguments, ..Options::default() }).unwrap();
        instance.start().unwrap();
        let server = instance.server().unwrap();
        let (device, draft) = good(&instance, &server, kind);
        let certificate = granted(&instance, &server, &device, &draft);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.pem");
        std::fs::write(&path, pem(&certificate)).unwrap();
        verified(&instance, &path, folder.path());
    }
}

#[test]
fn openssl_verifies_what_get_ca_cert_gives() {
    let instance = shared();
    let server = instance.server().unwrap();
    for certificate in &server.authorities {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("certificate.pem");
        std::fs::write(&path, pem(certificate)).unwrap();
        run(Command::new("openssl")
            .args(["verify", "-x509_strict", "-CAfile"])
            .arg(&instance.root)
            .arg("-untrusted")
            .arg(&instance.chain)
            .arg(&path));
    }
}

#[test]
fn openssl_reads_the_replies_degenerate_chain() {
    let instance = shared();
    let server = instance.server().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.p7");
    std::fs::write(&path, server.ask("GetCACert", None).unwrap().body).unwrap();
    let printed = run(Command::new("openssl")
        .args(["pkcs7", "-inform", "DER", "-print_certs", "-noout", "-in"])
        .arg(&path));
    assert_eq!(printed.matches("subject=").count(), 4, "{printed}");
}
