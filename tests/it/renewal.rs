//! Renewal by certificate (rows 63 to 72): real requests, five generations, every refusal's text.

use softhsm_test::client::{Csr, Device, Parts, SelfSigned, Server, Text, keys};
use softhsm_test::instance::{Instance, Options};

use crate::common::{BAD_REQUEST, good, granted, ledger, refused, serial, with_csr};
use crate::threats_names::new_challenge;

/// An instance whose certificates may be renewed from their first day on.
fn renewing(settings: &str) -> (Instance, Server) {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let renewal = format!("[endpoint.device]\nrenewal = {{ {settings} }}");
    instance.configure(|text| text.replace("[endpoint.device]", &renewal)).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    (instance, server)
}

fn enrolled(instance: &Instance, server: &Server, name: &str) -> Device {
    let (device, draft) = good(instance, server, name);
    let certificate = granted(instance, server, &device, &draft);
    Device::issued(device.key, certificate)
}

/// A new key and the request for it.
fn renewal(csr: Csr) -> (Device, Vec<u8>) {
    let new = Device::with_key(keys::rsa().unwrap(), "new").unwrap();
    let csr = csr.build(&new.key).unwrap();
    (new, csr)
}

#[test]
fn row_063_065_067_069_quirk_13_39_five_renewals_with_new_keys_and_no_challenge() {
    let (instance, server) = renewing("window = \"3650d\"");
    assert!(server.capabilities.iter().any(|c| c == "Renewal"), "row 19");
    let mut device = enrolled(&instance, &server, "router");
    for kind in ["17", "17", "17", "19", "19"] {
        let (new, csr) = renewal(Csr::new("router"));
        let draft = server.draft(&device, kind, csr).unwrap();
        // The reply opens with the old key: it is enveloped to the certificate that signed.
        let reply = server.send(&device, &draft).unwrap();
        let certificate = reply.certificate().unwrap().clone();
        assert_eq!(certificate.spki, new.key.public_key_to_der().unwrap());
        instance.verify(&certificate).unwrap();
        device = Device::issued(new.key, certificate);
    }
    let entries = instance.ask(&["ledger", "list", "--json"]).unwrap();
    assert_eq!(entries.matches("\"evidence\":\"renewal\"").count(), 5, "{entries}");
}

#[test]
fn row_070_071_t09_refusals_say_which_rule() {
    let (instance, server) = renewing("window = \"30d\"");
    let device = enrolled(&instance, &server, "router");
    let (_, csr) = renewal(Csr::new("router"));
    let draft = server.draft(&device, "17", csr).unwrap();
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("can be renewed from"), "{text}");

    let (stranger, _) = good(&instance, &server, "stranger");
    let (_, csr) = renewal(Csr::new("stranger"));
    let draft = server.draft(&stranger, "17", csr).unwrap();
    let text = refused(&server, &stranger, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("not issued here"), "{text}");
}

/// What cannot be changed within the life of an instance, the time, is in the tests beside this one.
#[test]
fn t09_who_may_not_renew_and_what_may_not_be_renewed() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance
        .configure(|text| {
            let renewal = "renewal = { window = \"3650d\" }\n";
            let other = format!(
                "\n[endpoint.other]\npath = \"/scep/other\"\nca = \"issuing\"\nprofile = \"device\"\n{renewal}"
            );
            text.replace("[endpoint.device]\n", &format!("[endpoint.device]\n{renewal}")) + &other
        })
        .unwrap();
    new_challenge(&instance, "other");
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let other = Server::discover(&instance.url.replace("/device", "/other")).unwrap();
    let csr = Csr::new("router").challenge(&instance.challenge).dns_names(&["a.example"]);
    let (device, draft) = with_csr(&server, "router", csr);
    let certificate = granted(&instance, &server, &device, &draft);
    let device = Device::issued(device.key, certificate);
    let revoked = enrolled(&instance, &server, "router");
    instance
        .ask(&["cert", "revoke", &serial(&revoked.certificate), "--reason", "superseded", "--yes"])
        .unwrap();

    // Certificates that claim the CA's name, and the very serial of one that it issued.
    let same = || Csr::new("router").dns_names(&["a.example"]);
    let claiming = |serial: &[u8]| SelfSigned {
        name: device.certificate.subject.clone(),
        issuer: Some(device.certificate.issuer.clone()),
        serial: serial.to_vec(),
        ..SelfSigned::default()
    };
    let forged = |shape: &SelfSigned| Device::shaped(keys::rsa().unwrap(), shape).unwrap();
    let serial_octets = &device.certificate.serial[2..];
    // Another CA's certificate with the device's own key: who holds the key still proves nothing.
    let stranger = keys::rsa().unwrap();
    let with_its_key = claiming(serial_octets).build_signed_by(&device.key, &stranger).unwrap();
    let with_its_key = Device::issued(device.key.clone(), Parts::from_der(&with_its_key).unwrap());
    let self_signed =
        SelfSigned { name: device.certificate.subject.clone(), ..SelfSigned::default() };

    let rows: [(&str, &Server, &Device, Csr, &str); 9] = [
        ("self-signed", &server, &forged(&self_signed), same(), "not issued here"),
        ("the CA's name", &server, &forged(&claiming(&[7])), same(), "not issued here"),
        ("its serial, too", &server, &forged(&claiming(serial_octets)), same(), "not issued here"),
        ("its key, too", &server, &with_its_key, same(), "not issued here"),
        ("revoked", &server, &revoked, Csr::new("router"), "was revoked"),
        ("another endpoint's", &other, &device, same(), "issued by endpoint device"),
        (
            "another subject",
            &server,
            &device,
            Csr::new("switch").dns_names(&["a.example"]),
            "the subject differs",
        ),
        (
            "a name more",
            &server,
            &device,
            Csr::new("router").dns_names(&["a.example", "b.example"]),
            "the alternative names",
        ),
        ("a name less", &server, &device, Csr::new("router"), "the alternative names"),
    ];
    let before = ledger(&instance).iter().filter(|e| e.event == "certificate").count();
    assert_eq!(before, 2, "the device's and the revoked one");
    for (what, at, signer, csr, reason) in rows {
        let (_, csr) = renewal(csr);
        let text = refused(at, signer, &at.draft(signer, "17", csr).unwrap(), BAD_REQUEST);
        assert!(text.as_ref().is_some_and(|t| t.contains(reason)), "{what}: {text:?}");
    }
    let own_key = same().build(&device.key).unwrap();
    let mut draft = server.draft(&device, "17", own_key).unwrap();
    draft.message.transaction_id = Text::printable("its own key");
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("make a new key"), "{text}");
    let after = ledger(&instance).iter().filter(|e| e.event == "certificate").count();
    assert_eq!(after, before, "nothing was issued");

    // The control: the device itself renews, in the same way.
    let (new, csr) = renewal(same());
    let reply = server.send(&device, &server.draft(&device, "17", csr).unwrap()).unwrap();
    assert_eq!(reply.certificate().unwrap().spki, new.key.public_key_to_der().unwrap());
}

#[test]
fn row_071_an_expired_certificate_renews_nothing_and_is_told_so() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance
        .configure(|text| {
            let text = text.replace("validity = \"365d\"", "validity = \"1m\"\nbackdate = \"0s\"");
            text.replace("[endpoint.device]", "[endpoint.device]\nrenewal = { window = \"3650d\" }")
        })
        .unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let device = enrolled(&instance, &server, "short-lived");
    let ask = || {
        let (new, csr) = renewal(Csr::new("short-lived"));
        let mut draft = server.draft(&device, "17", csr).unwrap();
        draft.message.transaction_id = Text::printable(&new.transaction_id());
        server.send(&device, &draft).unwrap()
    };
    assert!(ask().certificate().is_ok(), "the control: it renews while it is valid");
    std::thread::sleep(std::time::Duration::from_secs(62));
    let reply = ask();
    let (fail_info, text) = reply.failure().unwrap();
    assert_eq!(fail_info, BAD_REQUEST);
    assert!(text.unwrap().contains("expired") || text.unwrap().contains("ended"), "{text:?}");
}

#[test]
fn row_064_067_070_names_keys_and_a_wrong_challenge() {
    let (instance, server) = renewing("window = \"3650d\"");
    let device = enrolled(&instance, &server, "router");
    let ask = |csr: Csr| {
        let (_, csr) = renewal(csr);
        let draft = server.draft(&device, "17", csr).unwrap();
        refused(&server, &device, &draft, BAD_REQUEST).unwrap()
    };
    assert!(ask(Csr::new("another")).contains("subject"));
    assert!(ask(Csr::new("router").dns_names(&["more.example"])).contains("alternative names"));
    let wrong = Csr::new("router").challenge("this is not the challenge");
    assert!(ask(wrong).contains("challenge password is wrong"));
    let same_key = Csr::new("router").build(&device.key).unwrap();
    let mut draft = server.draft(&device, "17", same_key).unwrap();
    draft.message.transaction_id = Text::printable("the same key again");
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("new key"), "{text}");
}

#[test]
fn row_067_the_same_key_is_renewed_where_the_endpoint_says_so() {
    let (instance, server) = renewing("window = \"3650d\", same_key = true");
    let mut device = enrolled(&instance, &server, "router");
    for round in 0..2 {
        let csr = Csr::new("router").build(&device.key).unwrap();
        let mut draft = server.draft(&device, "17", csr).unwrap();
        draft.message.transaction_id = Text::printable(&format!("the same key, round {round}"));
        let certificate = granted(&instance, &server, &device, &draft);
        assert_ne!(certificate.serial, device.certificate.serial);
        device = Device::issued(device.key, certificate);
    }
    // Another's key stays another's.
    let other = enrolled(&instance, &server, "switch");
    let csr = Csr::new("router").build(&other.key).unwrap();
    let draft = server.draft(&device, "17", csr).unwrap();
    refused(&server, &device, &draft, BAD_REQUEST);
}

#[test]
fn row_070_fewer_names_are_renewed_where_the_endpoint_says_so() {
    let both = ["a.example", "b.example"];
    for (rule, fewer) in [("same", false), ("subset", true)] {
        let (instance, server) = renewing(&format!("window = \"3650d\", names = \"{rule}\""));
        let csr = Csr::new("router").challenge(&instance.challenge).dns_names(&both);
        let (device, draft) = with_csr(&server, "router", csr);
        let certificate = granted(&instance, &server, &device, &draft);
        let device = Device::issued(device.key, certificate);
        let ask = |names: &[&str]| {
            let csr = Csr::new("router");
            let (new, csr) = renewal(if names.is_empty() { csr } else { csr.dns_names(names) });
            let mut draft = server.draft(&device, "17", csr).unwrap();
            draft.message.transaction_id = Text::printable(&new.transaction_id());
            server.send(&device, &draft).unwrap()
        };
        let names = |names: &[&str]| -> Vec<String> {
            let certificate = ask(names).certificate().unwrap().der.clone();
            let names = openssl::x509::X509::from_der(&certificate).unwrap().subject_alt_names();
            let names = names.map_or(Vec::new(), |all| all.into_iter().collect());
            names.iter().filter_map(|n| n.dnsname().map(str::to_owned)).collect()
        };
        assert_eq!(names(&both), both, "{rule}");
        for some in [&both[..1], &both[1..], &[]] {
            match fewer {
                true => assert_eq!(names(some), some, "{rule}"),
                false => assert_eq!(ask(some).failure().unwrap().0, BAD_REQUEST, "{some:?}"),
            }
        }
        for more in [&["c.example"][..], &["a.example", "b.example", "c.example"]] {
            let reply = ask(more);
            let (fail_info, text) = reply.failure().unwrap();
            assert_eq!(fail_info, BAD_REQUEST);
            assert!(text.unwrap().contains("alternative names"), "{rule}: {text:?}");
        }
    }
}

#[test]
fn row_019_021_without_renewal_the_keyword_is_absent_and_the_request_refused() {
    let (instance, server) = renewing("enabled = false");
    assert!(!server.capabilities.iter().any(|c| c == "Renewal"));
    let device = enrolled(&instance, &server, "router");
    let (_, csr) = renewal(Csr::new("router"));
    let draft = server.draft(&device, "17", csr).unwrap();
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("renews no certificates"), "{text}");
}
