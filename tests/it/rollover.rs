//! GetNextCACert and a CA's rollover (rows 20 and 101 to 103, T23, T76): the real steps, and OpenSSL's
//! word on what was announced.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use softhsm_test::client::http::Response;
use softhsm_test::client::{CertRep, Csr, Device, Parts, Server};
use softhsm_test::instance::{Instance, Options};

use crate::common::{BAD_MESSAGE_CHECK, granted, ledger, refused, run, serial, with_csr};

/// A laboratory with a CA that may follow.
fn lab() -> Instance {
    let options = Options { arguments: vec!["--next-ca".into()], ..Options::default() };
    let mut instance = Instance::create(&options).unwrap();
    let renewal = "[endpoint.device]\nrenewal = { window = \"3650d\" }";
    instance.configure(|text| text.replace("[endpoint.device]", renewal)).unwrap();
    instance.start().unwrap();
    instance
}

fn restart(instance: &mut Instance) -> Server {
    instance.stop().unwrap();
    instance.start().unwrap();
    instance.server().unwrap()
}

fn certificate(instance: &Instance, name: &str) -> PathBuf {
    instance.folder().join("certificates").join(format!("{name}.pem"))
}

fn parts(pem: &str) -> Vec<Parts> {
    let all = openssl::x509::X509::stack_from_pem(pem.as_bytes()).unwrap();
    all.iter().map(|c| Parts::from_der(&c.to_der().unwrap()).unwrap()).collect()
}

fn named(instance: &Instance, name: &str) -> Parts {
    parts(&std::fs::read_to_string(certificate(instance, name)).unwrap()).remove(0)
}

/// The answer to GetNextCACert once it is there.
fn announced(server: &Server) -> Response {
    let began = Instant::now();
    loop {
        let answer = server.ask("GetNextCACert", None).unwrap();
        if answer.status == 200 || began.elapsed() > Duration::from_secs(60) {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// `openssl cms -verify` of the message in `file`, with `signer` as the only possible signer.
fn verified(instance: &Instance, file: &Path, signer: &str, out: &Path) -> std::process::Output {
    let mut openssl = Command::new("openssl");
    openssl.args(["cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-nointern"]);
    openssl.arg("-in").arg(file).arg("-out").arg(out).arg("-CAfile").arg(&instance.root);
    openssl.arg("-certfile").arg(certificate(instance, signer));
    openssl.output().unwrap()
}

/// The server as a device sees it that knows the next CA and not the old one.
fn next_server(instance: &Instance, server: &Server) -> Server {
    let files = ["ra-decryption-2", "ra-signing-2", "issuing-2", "root"];
    let authorities = files.iter().map(|f| named(instance, f)).collect();
    Server { authorities, ..server.clone() }
}

fn enrol(instance: &Instance, server: &Server, name: &str) -> (Device, CertRep) {
    let (device, draft) = with_csr(server, name, Csr::new(name).challenge(&instance.challenge));
    let reply = server.send(&device, &draft).unwrap();
    (device, reply)
}

#[test]
fn row_020_101_103_t23_the_next_ca_is_announced_and_the_current_one_signs() {
    let mut instance = lab();
    let server = instance.server().unwrap();
    let lists_it = |server: &Server| server.capabilities.iter().any(|c| c == "GetNextCACert");
    assert!(!lists_it(&server));
    assert_eq!(server.ask("GetNextCACert", None).unwrap().status, 404);
    for step in ["activate", "retire"] {
        let output = instance.command(&["ca", "rollover", step, "issuing"]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("first"), "{said}");
    }
    assert!(instance.ask(&["ca", "rollover", "show"]).unwrap().contains("planned"));

    let said = instance.ask(&["ca", "rollover", "stage", "issuing"]).unwrap();
    assert!(said.contains("staged"), "{said}");
    let answer = announced(&server);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/x-x509-next-ca-cert"));
    assert!(lists_it(&instance.server().unwrap()));

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("next"), &answer.body).unwrap();
    let output = verified(&instance, &file("next"), "issuing", &file("inner"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pem = run(Command::new("openssl")
        .args(["pkcs7", "-inform", "DER", "-print_certs", "-in"])
        .arg(file("inner")));
    let expected = ["issuing-2", "ra-decryption-2", "ra-signing-2", "root"];
    assert_eq!(parts(&pem), expected.map(|name| named(&instance, name)));
    // The next CA does not vouch for itself, and nothing in the message can be exchanged.
    assert!(!verified(&instance, &file("next"), "issuing-2", &file("x")).status.success());
    let mut tampered = answer.body.clone();
    let subject = &named(&instance, "issuing-2").subject;
    let at = tampered.windows(subject.len()).position(|w| w == &subject[..]).unwrap();
    tampered[at + subject.len() - 1] ^= 1;
    std::fs::write(file("tampered"), tampered).unwrap();
    assert!(!verified(&instance, &file("tampered"), "issuing", &file("x")).status.success());

    // I1, I2: announced before it was signed, recorded before it was served.
    let entries = ledger(&instance);
    let about = |e: &&crate::common::Entry| e.field("object").starts_with("issuing-2 follows");
    let events: Vec<&str> = entries.iter().filter(about).map(|e| e.event.as_str()).collect();
    assert_eq!(events, ["signing-intent", "signed-object"]);
    let announced = |e: &&crate::common::Entry| {
        e.event == "rollover" && e.field("object") == "issuing to issuing-2"
    };
    let announced = entries.iter().find(announced).expect("the rollover's entry");
    assert_eq!((announced.field("issuer"), announced.field("stage")), ("issuing-2", "staged"));
    assert_eq!(announced.field("certificate sha-256").len(), 64);
    // Once made, it is kept.
    let server = restart(&mut instance);
    assert!(lists_it(&server));
    assert_eq!(server.ask("GetNextCACert", None).unwrap().body, answer.body);
    assert_eq!(ledger(&instance).iter().filter(about).count(), 2);
}

#[test]
fn row_102_t76_the_envelope_chooses_the_ca_until_the_old_one_is_retired() {
    let mut instance = lab();
    let old_server = instance.server().unwrap();
    let next = next_server(&instance, &old_server);
    let [old_ca, next_ca] = ["issuing", "issuing-2"].map(|name| named(&instance, name));
    // Before it is staged, nobody listens to the next RA.
    let early = with_csr(&next, "early", Csr::new("early").challenge(&instance.challenge));
    let text = refused(&old_server, &early.0, &early.1, BAD_MESSAGE_CHECK).unwrap();
    assert!(text.contains("GetCACert"), "{text}");
    let (old_device, draft) =
        with_csr(&old_server, "one", Csr::new("one").challenge(&instance.challenge));
    let first = granted(&instance, &old_server, &old_device, &draft);

    instance.ask(&["ca", "rollover", "stage", "issuing"]).unwrap();
    let issuer = |reply: CertRep| reply.certificate().unwrap().issuer.clone();
    assert_eq!(issuer(enrol(&instance, &old_server, "two").1), old_ca.subject);
    // The reply is checked against the next RA alone: it signed.
    let (_, reply) = enrol(&instance, &next, "three");
    let third = reply.certificate().unwrap().clone();
    assert_eq!(third.issuer, next_ca.subject);
    instance.chain = certificate(&instance, "issuing-2");
    instance.verify(&third).unwrap();

    instance.ask(&["ca", "rollover", "activate", "issuing"]).unwrap();
    assert_eq!(issuer(enrol(&instance, &old_server, "four").1), old_ca.subject);
    assert_eq!(issuer(enrol(&instance, &next, "five").1), next_ca.subject);
    // What was decided holds over a restart, and devices that ask now see the next CA alone.
    let server = restart(&mut instance);
    assert_eq!(server.authorities, next.authorities);
    assert_eq!(server.ask("GetNextCACert", None).unwrap().status, 404);
    assert_eq!(issuer(enrol(&instance, &old_server, "six").1), old_ca.subject);
    // A certificate of the old CA renews under the next one.
    let old_device = Device::issued(old_device.key, first.clone());
    let new = Device::new("one").unwrap();
    let csr = Csr::new("one").build(&new.key).unwrap();
    let draft = server.draft(&old_device, "17", csr).unwrap();
    let renewed = server.send(&old_device, &draft).unwrap().certificate().unwrap().clone();
    assert_eq!(renewed.issuer, next_ca.subject);
    instance.verify(&renewed).unwrap();

    instance.ask(&["ca", "rollover", "retire", "issuing"]).unwrap();
    for again in [false, true] {
        if again {
            restart(&mut instance);
        }
        let (device, draft) =
            with_csr(&old_server, "seven", Csr::new("seven").challenge(&instance.challenge));
        let text = refused(&server, &device, &draft, BAD_MESSAGE_CHECK).unwrap();
        assert!(text.contains("GetCACert"), "{text}");
    }
    assert_eq!(issuer(enrol(&instance, &next, "eight").1), next_ca.subject);
    // The old CA's list goes on.
    let revoked = instance
        .ask(&["cert", "revoke", &serial(&first), "--reason", "superseded", "--yes"])
        .unwrap();
    assert!(revoked.contains("revoked"), "{revoked}");
    let list = instance.ask(&["crl", "show", "--ca", "issuing", "--json"]).unwrap();
    assert!(list.contains("\"entries\":1") || list.contains("\"entries\": 1"), "{list}");
}
