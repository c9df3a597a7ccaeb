//! Looking for certificates, exporting them, and changing the status of many.

use std::process::Command;

use softhsm_test::client::Csr;
use softhsm_test::instance::{Instance, Options};

use crate::common::{granted, run, serial, with_csr};

/// An instance with a few certificates; their serial numbers by their place.
fn filled(count: usize) -> (Instance, Vec<String>) {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let serials = (0..count).map(|n| {
        let name = format!("find-{n}");
        let csr =
            Csr::new(&name).dns_names(&[&format!("{name}.example")]).challenge(&instance.challenge);
        let (device, draft) = with_csr(&server, &name, csr);
        serial(&granted(&instance, &server, &device, &draft))
    });
    let serials = serials.collect();
    (instance, serials)
}

fn found(instance: &Instance, arguments: &[&str]) -> Vec<String> {
    let text = instance.ask(&[&["cert", "search", "--json"], arguments].concat()).unwrap();
    let serial = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["serial"].as_str().unwrap().to_owned()
    };
    text.lines().map(serial).collect()
}

#[test]
fn certificates_are_found_by_what_is_known_of_them() {
    let (instance, serials) = filled(4);
    let revoke = ["cert", "revoke", &serials[3], "--reason", "superseded", "--yes"];
    instance.ask(&revoke).unwrap();
    let all = instance.ask(&["cert", "list"]).unwrap();
    assert_eq!(all.lines().count(), 4, "{all}");
    for (line, serial) in all.lines().zip(&serials) {
        assert!(line.starts_with(serial.as_str()), "in the order of issuance: {all}");
    }
    let one = |arguments: &[&str], which: usize| {
        assert_eq!(found(&instance, arguments), [serials[which].clone()], "{arguments:?}");
    };
    one(&["--subject", "cn=FIND-1"], 1);
    one(&["--san", "dns:find-2.example"], 2);
    one(&["--state", "revoked"], 3);
    let shown = instance.ask(&["cert", "show", &serials[0], "--pem"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.pem");
    std::fs::write(&file, &shown).unwrap();
    let openssl = |arguments: &[&str]| {
        run(Command::new("openssl").args(["x509", "-noout", "-in"]).arg(&file).args(arguments))
    };
    let fingerprint = openssl(&["-fingerprint", "-sha256"]);
    one(&["--fingerprint", fingerprint.split('=').nth(1).unwrap().trim()], 0);
    let ski = openssl(&["-ext", "subjectKeyIdentifier"]);
    one(&["--ski", ski.lines().nth(1).unwrap().trim()], 0);
    assert_eq!(found(&instance, &["--profile", "device", "--state", "valid"]).len(), 3);
    assert_eq!(found(&instance, &["--source", "127.0.0.1"]).len(), 4);
    assert_eq!(found(&instance, &["--expiring", "3650d"]).len(), 4);
    assert_eq!(found(&instance, &["--expiring", "1d"]).len(), 0);
    assert_eq!(found(&instance, &["--issued-from", "2020-01-01"]).len(), 4);
    assert_eq!(found(&instance, &["--issued-to", "2020-01-01"]).len(), 0);
    assert_eq!(found(&instance, &["--ca", "other"]).len(), 0);
    let limited = instance.ask(&["cert", "list", "--limit", "2"]).unwrap();
    assert_eq!(limited.lines().count(), 2);
    let none = instance.command(&["cert", "search"]).unwrap();
    assert_eq!(none.status.code(), Some(2), "a search without a filter");
}

#[test]
fn an_export_is_what_other_programs_read() {
    let (instance, serials) = filled(3);
    let pem = instance.ask(&["cert", "export", "--subject", "find-"]).unwrap();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 3);
    let csv = instance.ask(&["cert", "export", "--format", "csv"]).unwrap();
    let rows: Vec<&str> = csv.lines().collect();
    assert!(rows[0].starts_with("serial,state,not_after,"), "{csv}");
    assert!(rows[1].starts_with(&format!("{},valid,", serials[0])) && rows.len() == 4, "{csv}");
    let json = instance.ask(&["cert", "export", "--format", "json"]).unwrap();
    assert!(json.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()));
}

#[test]
fn many_are_revoked_only_by_their_number() {
    let (instance, serials) = filled(3);
    let many = ["cert", "revoke-many", "--profile", "device", "--reason", "cessationOfOperation"];
    let preview = instance.ask(&many).unwrap();
    assert_eq!(preview.lines().count(), 3, "{preview}");
    assert_eq!(found(&instance, &["--state", "valid"]).len(), 3, "a preview changes nothing");
    let wrong = instance.command(&[&many[..], &["--yes", "2"]].concat()).unwrap();
    assert_eq!(wrong.status.code(), Some(9), "{}", String::from_utf8_lossy(&wrong.stderr));
    assert_eq!(found(&instance, &["--state", "valid"]).len(), 3);
    instance.ask(&[&many[..], &["--yes", "3"]].concat()).unwrap();
    assert_eq!(found(&instance, &["--state", "revoked"]), serials);
    let crl = instance.ask(&["crl", "show", "--json"]).unwrap();
    let crl: serde_json::Value = serde_json::from_str(crl.lines().next().unwrap()).unwrap();
    let crl = crl.get(0).cloned().unwrap_or(crl);
    assert_eq!(crl["entries"], 3, "{crl}");
    // What is revoked already is left out, and a file names serial numbers.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serials");
    std::fs::write(&file, "# lost in the post\nffff\n").unwrap();
    let file = file.to_str().unwrap();
    let unknown = ["cert", "revoke-many", "--file", file, "--reason", "superseded"];
    let unknown = instance.command(&unknown).unwrap();
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(2) && said.contains("ffff"), "{said}");
}
