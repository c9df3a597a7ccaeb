//! Officer approval and polling (rows 85 to 94, 96; T18, T19).

use softhsm_test::client::reply::{CertRep, Outcome};
use softhsm_test::client::{Csr, Device, Draft, Parts, Server, message};
use softhsm_test::instance::Instance;

use crate::common::{BAD_REQUEST, ledger, refused, with_csr};
use crate::one_time::{instance, issue, unstarted};

/// failInfo badCertId.
const BAD_CERT_ID: u8 = 4;

fn held(instance: &Instance, endpoint: &str) -> Server {
    let path = format!("/scep/{endpoint}");
    Server::discover(&instance.url.replace("/scep/device", &path)).unwrap()
}

/// A device whose request waits at the endpoint `held` or `brief`.
fn waiting(instance: &Instance, server: &Server, endpoint: &str, name: &str) -> (Device, Draft) {
    let (_, challenge) = issue(instance, endpoint, &[]);
    let (device, draft) = with_csr(server, name, Csr::new(name).challenge(&challenge));
    pending(&server.send(&device, &draft).unwrap());
    (device, draft)
}

#[track_caller]
fn pending(reply: &CertRep) {
    assert_eq!(reply.outcome, Outcome::Pending);
}

fn poll_draft(server: &Server, device: &Device) -> Draft {
    let issuer = &server.issuing().unwrap().subject;
    let content = message::issuer_and_subject(issuer, &device.certificate.subject);
    server.draft(device, "20", content).unwrap()
}

fn poll(server: &Server, device: &Device) -> CertRep {
    server.send(device, &poll_draft(server, device)).unwrap()
}

#[track_caller]
fn certificate(device: &Device, reply: &CertRep) -> Parts {
    let certificate = reply.certificate().unwrap();
    assert_eq!(certificate.spki, device.key.public_key_to_der().unwrap());
    certificate.clone()
}

#[test]
fn row_085_089_090_quirk_34_42_pending_until_an_officer_approves() {
    let instance = instance();
    let server = held(&instance, "held");
    let (device, draft) = waiting(&instance, &server, "held", "patient");
    let id = device.transaction_id();
    pending(&server.send(&device, &draft).unwrap());
    pending(&poll(&server, &device));
    let listed = instance.ask(&["request", "list", "--pending"]).unwrap();
    let line = listed.lines().find(|l| l.contains(&id)).expect("it is listed");
    assert!(line.contains("CN=patient"), "{line}");
    let shown = instance.ask(&["request", "show", &id]).unwrap();
    assert!(shown.contains("state: pending"), "{shown}");
    instance.ask(&["request", "approve", &id]).unwrap();
    let again = instance.command(&["request", "approve", &id]).unwrap();
    assert!(!again.status.success(), "one word decides");
    let first = certificate(&device, &poll(&server, &device));
    for reply in [poll(&server, &device), server.send(&device, &draft).unwrap()] {
        assert_eq!(certificate(&device, &reply), first, "a lost reply is answered again");
    }
    let all = instance.ask(&["request", "list", "--json"]).unwrap();
    assert!(all.lines().any(|l| l.contains(&id) && l.contains("\"issued\"")), "{all}");
    let decision = ledger(&instance).into_iter().find(|e| {
        e.event == "decision" && e.field("verdict") == "approved" && e.field("object") == id
    });
    let uid = rustix_uid();
    assert_eq!(decision.expect("it is in the ledger").field("actor"), format!("uid {uid}"));
}

fn rustix_uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid()
}

#[test]
fn row_086_088_t19_only_the_key_that_asked_may_poll() {
    let instance = instance();
    let server = held(&instance, "held");
    let (device, _) = waiting(&instance, &server, "held", "victim");
    let stranger = Device::new("victim").unwrap();
    let unknown = server.send(&stranger, &poll_draft(&server, &stranger)).unwrap();
    let mut foreign = poll_draft(&server, &stranger);
    foreign.message.transaction_id = message::Text::printable(&device.transaction_id());
    let foreign = server.send(&stranger, &foreign).unwrap();
    assert_eq!(foreign.outcome, unknown.outcome, "nobody learns which transactions there are");
    assert_eq!(foreign.failure().unwrap().0, BAD_CERT_ID);
    pending(&poll(&server, &device));
}

#[test]
fn row_087_quirk_54_the_names_in_a_poll_are_advice() {
    let instance = instance();
    let server = held(&instance, "held");
    let (device, _) = waiting(&instance, &server, "held", "quirky");
    let subject = device.certificate.subject.clone();
    for content in [
        message::issuer_and_subject(&subject, &server.issuing().unwrap().subject),
        message::issuer_and_subject(&subject, &subject),
    ] {
        let draft = server.draft(&device, "20", content).unwrap();
        pending(&server.send(&device, &draft).unwrap());
    }
    let rubbish = server.draft(&device, "20", b"rubbish".to_vec()).unwrap();
    assert_eq!(refused(&server, &device, &rubbish, BAD_REQUEST), None);
}

#[test]
fn row_091_093_transactions_of_one_name_are_told_apart() {
    let instance = instance();
    let server = held(&instance, "held");
    let (one, _) = waiting(&instance, &server, "held", "same name");
    let (two, _) = waiting(&instance, &server, "held", "same name");
    instance.ask(&["request", "approve", &two.transaction_id()]).unwrap();
    certificate(&two, &poll(&server, &two));
    pending(&poll(&server, &one));
}

#[test]
fn row_096_t18_another_request_does_not_replace_one_that_waits() {
    let instance = instance();
    let server = held(&instance, "held");
    let (device, draft) = waiting(&instance, &server, "held", "first");
    let (_, challenge) = issue(&instance, "held", &[]);
    let (thief, mut other) = with_csr(&server, "thief", Csr::new("thief").challenge(&challenge));
    other.message.transaction_id = draft.message.transaction_id.clone();
    refused(&server, &thief, &other, BAD_REQUEST);
    instance.ask(&["request", "approve", &device.transaction_id()]).unwrap();
    refused(&server, &thief, &other, BAD_REQUEST);
    certificate(&device, &server.send(&device, &draft).unwrap());
}

#[test]
fn row_089_a_denial_is_told_with_its_reason() {
    let instance = instance();
    let server = held(&instance, "held");
    let (device, draft) = waiting(&instance, &server, "held", "unwanted");
    let id = device.transaction_id();
    instance.ask(&["request", "deny", &id, "--reason", "not in the inventory"]).unwrap();
    for _ in 0..2 {
        let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
        assert!(text.contains("not in the inventory"), "{text}");
        refused(&server, &device, &poll_draft(&server, &device), BAD_REQUEST);
    }
    assert!(!instance.command(&["request", "approve", &id]).unwrap().status.success());
}

#[test]
fn row_094_what_nobody_decides_expires() {
    let instance = instance();
    let server = held(&instance, "brief");
    let (device, draft) = waiting(&instance, &server, "brief", "forgotten");
    std::thread::sleep(std::time::Duration::from_millis(1200));
    let approve = ["request", "approve", &device.transaction_id()];
    assert!(!instance.command(&approve).unwrap().status.success(), "too late");
    let text = refused(&server, &device, &poll_draft(&server, &device), BAD_REQUEST).unwrap();
    assert!(text.contains("expired"), "{text}");
    refused(&server, &device, &draft, BAD_REQUEST);
}

#[test]
fn row_062_t06_a_challenge_of_two_that_wait_is_used_once() {
    let instance = instance();
    let server = held(&instance, "held");
    let (_, challenge) = issue(&instance, "held", &[]);
    let ask = |name: &str| with_csr(&server, name, Csr::new(name).challenge(&challenge));
    let both = [ask("one"), ask("two")];
    for (device, draft) in &both {
        pending(&server.send(device, draft).unwrap());
        instance.ask(&["request", "approve", &device.transaction_id()]).unwrap();
    }
    let [(one, _), (two, _)] = &both;
    certificate(one, &poll(&server, one));
    let text = refused(&server, two, &poll_draft(&server, two), BAD_REQUEST).unwrap();
    assert!(text.contains("used before"), "{text}");
}

#[test]
fn row_090_requests_that_wait_survive_a_crash() {
    let mut instance = unstarted();
    instance.start().unwrap();
    let server = held(&instance, "held");
    let (approved, _) = waiting(&instance, &server, "held", "approved");
    let (open, draft) = waiting(&instance, &server, "held", "open");
    instance.ask(&["request", "approve", &approved.transaction_id()]).unwrap();
    instance.kill().unwrap();
    instance.start().unwrap();
    pending(&poll(&server, &open));
    let first = certificate(&approved, &poll(&server, &approved));
    instance.ask(&["request", "approve", &open.transaction_id()]).unwrap();
    instance.kill().unwrap();
    instance.start().unwrap();
    let retried = certificate(&open, &server.send(&open, &draft).unwrap());
    assert_eq!(certificate(&open, &poll(&server, &open)), retried);
    assert_eq!(certificate(&approved, &poll(&server, &approved)), first);
}

#[test]
fn row_085_095_097_posts_at_once_wait_once_and_polls_at_once_get_one_certificate() {
    let mut instance = unstarted();
    instance.start().unwrap();
    let server = held(&instance, "held");
    let (_, challenge) = issue(&instance, "held", &[]);
    let (device, draft) = with_csr(&server, "hasty", Csr::new("hasty").challenge(&challenge));
    let id = device.transaction_id();
    let at_once = |server: &Server, draft: &Draft| -> Vec<CertRep> {
        std::thread::scope(|scope| {
            let one = || server.send(&device, draft).unwrap();
            let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    };
    let entries = |instance: &Instance, event: &str| {
        let of_it = |e: &&crate::common::Entry| e.event == event && e.field("transaction") == id;
        ledger(instance).iter().filter(of_it).count()
    };
    at_once(&server, &draft).iter().for_each(pending);
    assert_eq!(entries(&instance, "pending"), 1, "one request waits");
    instance.kill().unwrap();
    instance.start().unwrap();
    let server = held(&instance, "held");
    at_once(&server, &draft).iter().for_each(pending);
    assert_eq!(entries(&instance, "pending"), 1, "also after a crash");
    instance.ask(&["request", "approve", &id]).unwrap();
    let poll = poll_draft(&server, &device);
    let polled: Vec<Parts> =
        at_once(&server, &poll).iter().map(|reply| certificate(&device, reply)).collect();
    assert!(polled.iter().all(|c| *c == polled[0]));
    instance.kill().unwrap();
    instance.start().unwrap();
    let server = held(&instance, "held");
    for reply in at_once(&server, &draft) {
        assert_eq!(certificate(&device, &reply), polled[0]);
    }
    assert_eq!(entries(&instance, "reservation"), 1, "one serial");
    crate::common::each_recorded_once(&instance, &polled[..1]);
}
