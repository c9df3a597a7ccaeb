//! Who may have which name (docs/threats.md sections 3a and 3c): closed doors in every configuration, the
//! kinds of alternative names, and subjects that would deceive a reader.

use std::process::Command;

use openssl::x509::X509;
use softhsm_test::client::certificate::{CN, extension};
use softhsm_test::client::{CertRep, Csr, Device, Server, Text, der};
use softhsm_test::instance::{Instance, Options};

use crate::common::{ledger, run, with_csr};

/// Adds `challenge_mac` to an endpoint that is configured; returns the challenge.
pub(crate) fn new_challenge(instance: &Instance, endpoint: &str) -> String {
    let text = instance.ask(&["challenge", "mac", endpoint, "--generate", "--json"]).unwrap();
    let made: serde_json::Value = serde_json::from_str(&text).unwrap();
    let line = format!("[endpoint.{endpoint}]\nchallenge_mac = {}", made["challenge_mac"]);
    let section = format!("[endpoint.{endpoint}]");
    instance.configure(|text| text.replace(&section, &line)).unwrap();
    made["challenge"].as_str().unwrap().to_owned()
}

fn at(instance: &Instance, endpoint: &str) -> Server {
    Server::discover(&instance.url.replace("/scep/device", &format!("/scep/{endpoint}"))).unwrap()
}

#[test]
fn t03_no_configuration_opens_the_door_without_the_right_challenge() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    // Every combination of what has a say in authorization.
    let mut endpoints = Vec::new();
    for n in 0..16u8 {
        let on = |bit: u8| n >> bit & 1 == 1;
        let name = format!("e{n}");
        let text = format!(
            "\n[endpoint.{name}]\npath = \"/scep/{name}\"\nca = \"issuing\"\nprofile = \"device\"\n\
             one_time_challenges = {}\napproval = \"{}\"\nrenewal = {{ enabled = {}, check_challenge = {} }}\n",
            on(1),
            if on(2) { "officer" } else { "none" },
            on(3),
            !on(2),
        );
        instance.configure(|config| config + &text).unwrap();
        let challenge = on(0).then(|| new_challenge(&instance, &name));
        endpoints.push((name, challenge, on(1), on(2)));
    }
    let limits = "[signer]\nwrong_challenges = { per_source = 100000, total = 100000 }";
    instance.configure(|text| text.replace("[signer]", limits)).unwrap();
    instance.start().unwrap();
    let elsewhere = instance.challenge.clone();
    for (name, challenge, ..) in &endpoints {
        let server = at(&instance, name);
        let right = challenge.clone().unwrap_or_else(|| elsewhere.clone());
        let plain = || Csr::new("nobody");
        let other_case: String = right
            .chars()
            .map(|c| {
                if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
            })
            .collect();
        let hostile = [
            ("none", plain()),
            ("empty", plain().challenge("")),
            ("a space", plain().challenge(" ")),
            ("empty BMP", plain().challenge_bmp("")),
            ("another endpoint's", plain().challenge(&elsewhere)),
            ("with a space behind", plain().challenge(&format!("{right} "))),
            ("with NUL behind", plain().challenge(&format!("{right}\0"))),
            ("half of it", plain().challenge(&right[..right.len() / 2])),
            ("null", plain().challenge("null")),
            ("two", plain().challenge(&right).challenge("another")),
            ("another case", plain().challenge(&other_case)),
        ];
        for (what, csr) in hostile {
            let (device, draft) = with_csr(&server, "nobody", csr);
            let reply = server.send(&device, &draft).unwrap();
            assert!(reply.failure().is_ok(), "{name}, {what}: {reply:?}");
        }
        // A RenewalReq by a certificate that the device made itself, with the right challenge.
        let device = Device::new("nobody").unwrap();
        let csr = plain().challenge(&right).build(&device.key).unwrap();
        let draft = server.draft(&device, "17", csr).unwrap();
        assert!(
            server.send(&device, &draft).unwrap().failure().is_ok(),
            "{name}, self-made renewal"
        );
    }
    let entries = ledger(&instance);
    let passed = entries
        .iter()
        .filter(|e| ["reservation", "certificate", "pending"].contains(&e.event.as_str()));
    assert_eq!(passed.count(), 0);
    // The control: the right challenge opens each door that has one, by a certificate or by waiting.
    for (name, challenge, one_time, approval) in endpoints {
        let server = at(&instance, &name);
        let challenge =
            challenge.or_else(|| one_time.then(|| crate::one_time::issue(&instance, &name, &[]).1));
        let Some(challenge) = challenge else { continue };
        let (device, draft) =
            with_csr(&server, "somebody", Csr::new("somebody").challenge(&challenge));
        let reply = server.send(&device, &draft).unwrap();
        assert!(reply.failure().is_err(), "{name}: {reply:?}");
        assert_eq!(reply.certificate().is_ok(), !approval, "{name}: {reply:?}");
    }
}

/// A subjectAltName with these GeneralNames, each whole.
fn san(names: &[Vec<u8>]) -> Vec<u8> {
    extension("2.5.29.17", false, &der::tlv(der::tag::SEQUENCE, &names.concat()))
}

#[test]
fn t07_only_the_kinds_of_names_that_the_profile_lists_come_into_a_certificate() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance
        .configure(|text| {
            let text = text.replace("allowed = [\"dns\", \"email\", \"ip\", \"uri\"]", "allowed = [\"dns\", \"ip\"]");
            text + "\n[profile.dropping]\nsan = { allowed = [\"dns\", \"ip\"], others = \"drop\" }\n\
                    [endpoint.dropping]\npath = \"/scep/dropping\"\nca = \"issuing\"\nprofile = \"dropping\"\n"
        })
        .unwrap();
    let dropping = new_challenge(&instance, "dropping");
    instance.start().unwrap();
    let other =
        |oid: &str, value: &[u8]| der::tlv(0xa0, &[der::oid(oid), der::ctx(0, value)].concat());
    let utf8 = |text: &str| der::tlv(der::tag::UTF8, text.as_bytes());
    let name = der::name(&[(CN, "directory")]);
    let sid = der::octets(b"S-1-5-21-1-2-3-500");
    let forbidden = [
        ("upn", other("1.3.6.1.4.1.311.20.2.3", &utf8("admin@corp.example"))),
        ("srv", other("1.3.6.1.5.5.7.8.7", &der::tlv(der::tag::IA5, b"_ldap.corp.example"))),
        ("sid as otherName", other("1.3.6.1.4.1.311.25.2.1", &sid)),
        ("unknown otherName", other("1.3.6.1.4.1.99999.7", &utf8("x"))),
        ("mail", der::tlv(0x81, b"admin@corp.example")),
        ("directory", der::tlv(0xa4, &name)),
        ("EDI", der::tlv(0xa5, &der::ctx(1, &utf8("party")))),
        ("URI", der::tlv(0x86, b"http://corp.example/")),
        ("SID as URI", der::tlv(0x86, b"tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500")),
        ("registered", der::tlv(0x88, &der::oid("1.2.3.4")[2..])),
    ];
    let malformed = [
        ("wildcard", der::tlv(0x82, b"*.corp.example")),
        ("bare wildcard", der::tlv(0x82, b"*")),
        ("DNS with NUL", der::tlv(0x82, b"corp.example\0.evil.example")),
        ("empty DNS", der::tlv(0x82, b"")),
        ("DNS with a space", der::tlv(0x82, b"corp example")),
        ("address of 5 octets", der::tlv(0x87, &[10, 0, 0, 1, 0])),
        ("address with a mask", der::tlv(0x87, &[10, 0, 0, 0, 255, 0, 0, 0])),
    ];
    let wanted = der::tlv(0x82, b"device.example");
    let address = der::tlv(0x87, &[192, 0, 2, 7]);
    let sid_extension = extension(
        "1.3.6.1.4.1.311.25.2",
        false,
        &der::seq(&[&other("1.3.6.1.4.1.311.25.2.1", &sid)]),
    );
    let ask = |server: &Server, challenge: &str, names: &[Vec<u8>], more: &[Vec<u8>]| {
        let extensions = [&[san(names)], more].concat();
        let csr = Csr::new("device.example").challenge(challenge).extensions(&extensions);
        let (device, draft) = with_csr(server, "device.example", csr);
        server.send(&device, &draft).unwrap()
    };
    let server = instance.server().unwrap();
    let lax = at(&instance, "dropping");
    let left_out = |what: &str, reply: &CertRep, bad: &[u8]| {
        let certificate = reply.certificate().unwrap();
        let bytes = &bad[2..];
        assert!(!certificate.der.windows(bytes.len()).any(|w| w == bytes), "{what}");
        let x509 = X509::from_der(&certificate.der).unwrap();
        let names = x509.subject_alt_names().unwrap();
        assert_eq!(names.len(), 1, "{what}");
        assert_eq!(names[0].dnsname(), Some("device.example"), "{what}");
    };
    for (what, bad) in forbidden.iter().chain(&malformed) {
        let reply = ask(&server, &instance.challenge, &[wanted.clone(), bad.clone()], &[]);
        // Windows adds its SID by itself: it is left out everywhere and refuses nobody (Q33).
        match *what {
            "SID as URI" => left_out(what, &reply, bad),
            _ => assert!(reply.failure().is_ok(), "{what}: {reply:?}"),
        }
    }
    for (what, bad) in &malformed {
        let reply = ask(&lax, &dropping, &[wanted.clone(), bad.clone()], &[]);
        assert!(reply.failure().is_ok(), "{what}: {reply:?}");
    }
    let mut dropped = 0;
    for (what, bad) in &forbidden {
        let reply = ask(&lax, &dropping, &[wanted.clone(), bad.clone()], &[]);
        if reply.failure().is_err() {
            left_out(what, &reply, bad);
            dropped += 1;
        }
    }
    assert!(dropped > forbidden.len() / 2, "{dropped}");
    // The control: what is listed appears, as OpenSSL and GnuTLS read it; the SID beside it does not.
    let reply = ask(&server, &instance.challenge, &[wanted, address], &[sid_extension]);
    let certificate = reply.certificate().unwrap();
    assert!(certificate.extension("1.3.6.1.4.1.311.25.2").is_none());
    let x509 = X509::from_der(&certificate.der).unwrap();
    let names = x509.subject_alt_names().unwrap();
    assert_eq!(names.iter().filter_map(|n| n.dnsname()).collect::<Vec<_>>(), ["device.example"]);
    assert_eq!(names.iter().filter_map(|n| n.ipaddress()).collect::<Vec<_>>(), [[192, 0, 2, 7]]);
    let file = instance.folder().join("t07.pem");
    std::fs::write(&file, x509.to_pem().unwrap()).unwrap();
    let text = run(Command::new("certtool").arg("-i").arg("--infile").arg(&file));
    assert!(
        text.contains("DNSname: device.example") && text.contains("IPAddress: 192.0.2.7"),
        "{text}"
    );
}

#[test]
fn t07_user_principal_names_come_in_where_the_profile_lists_them() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let rules = "allowed = [\"upn\"], domains = [\"corp.example\"]";
    instance
        .configure(|text| {
            text.replace("allowed = [\"dns\", \"email\", \"ip\", \"uri\"]", rules)
                .replace("[endpoint.device]", "[endpoint.device]\none_time_challenges = true")
        })
        .unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    // As the domain controller reads it: OtherName of Microsoft's type with a UTF8String.
    let upn = |name: &str| {
        let value = der::ctx(0, &der::tlv(der::tag::UTF8, name.as_bytes()));
        san(&[der::tlv(0xa0, &[der::oid("1.3.6.1.4.1.311.20.2.3"), value].concat())])
    };
    let bound = ["--subject", "CN=device-7", "--san", "upn:device-7@corp.example"];
    let (_, challenge) = crate::one_time::issue(&instance, "device", &bound);
    let ask = |challenge: &str, name: &str| {
        let csr = Csr::new("device-7").challenge(challenge).extensions(&[upn(name)]);
        let (device, draft) = with_csr(&server, "device-7", csr);
        server.send(&device, &draft).unwrap()
    };
    let reply = ask(&challenge, "admin@corp.example");
    let text = reply.failure().unwrap().1.unwrap().to_owned();
    assert!(text.contains("other alternative names"), "the challenge is for another: {text}");
    let reply = ask(&instance.challenge, "admin@elsewhere.example");
    let text = reply.failure().unwrap().1.unwrap().to_owned();
    assert!(text.contains("not under corp.example"), "{text}");
    let certificate = ask(&challenge, "device-7@corp.example").certificate().unwrap().clone();
    let file = instance.folder().join("upn.pem");
    std::fs::write(&file, X509::from_der(&certificate.der).unwrap().to_pem().unwrap()).unwrap();
    let text = run(Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(&file));
    assert!(text.contains("othername: UPN") && text.contains("device-7@corp.example"), "{text}");
}

/// A Name of these RDNs, each a list of (type, string tag, content).
fn name(rdns: &[&[(&str, u8, &[u8])]]) -> Vec<u8> {
    let value = |(oid, tag, content): &(&str, u8, &[u8])| {
        der::seq(&[&der::oid(oid), &der::tlv(*tag, content)])
    };
    let rdns = rdns.iter().map(|rdn| der::set_of(rdn.iter().map(value).collect()));
    der::tlv(der::tag::SEQUENCE, &rdns.collect::<Vec<_>>().concat())
}

#[test]
fn t41_subjects_that_would_deceive_a_reader_are_refused() {
    let instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    let (utf8, printable, bmp) = (der::tag::UTF8, der::tag::PRINTABLE, der::tag::BMP);
    let cn = |tag: u8, content: &[u8]| name(&[&[(CN, tag, content)]]);
    let country = "2.5.4.6";
    let many: Vec<(&str, u8, &[u8])> = vec![(CN, utf8, b"a"); 60];
    let many: Vec<&[(&str, u8, &[u8])]> = many.iter().map(std::slice::from_ref).collect();
    let a = der::seq(&[&der::oid(CN), &der::tlv(utf8, b"a")]);
    let b = der::seq(&[&der::oid("2.5.4.10"), &der::tlv(utf8, b"b")]);
    let unsorted = der::tlv(0x31, &[b, a].concat());
    let empty_rdn = der::tlv(der::tag::SEQUENCE, &der::tlv(0x31, &[]));
    let bad = [
        ("NUL", cn(utf8, b"admin\0.example")),
        ("newline", cn(utf8, b"admin\nOU=root")),
        ("escape", cn(utf8, b"\x1b[2Jadmin")),
        ("bidi", cn(utf8, "exe.\u{202e}nimda".as_bytes())),
        ("zero width", cn(utf8, "ad\u{200b}min".as_bytes())),
        ("overlong UTF-8", cn(utf8, &[b'a', 0xc0, 0xaf])),
        ("cut UTF-8", cn(utf8, &[b'a', 0xe2, 0x82])),
        ("surrogate in BMP", cn(bmp, &[0, b'a', 0xd8, 0])),
        ("odd BMP", cn(bmp, &[0, b'a', 0])),
        ("not normalised", cn(utf8, "e\u{301}".as_bytes())),
        ("too long", cn(utf8, &[b'a'; 65])),
        ("nothing", cn(utf8, b"")),
        ("spaces", cn(utf8, b"   ")),
        ("printable with @", cn(printable, b"admin@example")),
        ("universal string", cn(0x1c, &[0, 0, 0, b'a'])),
        ("country of three letters", name(&[&[(country, printable, b"DEU")], &[(CN, utf8, b"a")]])),
        ("twice in one RDN", name(&[&[(CN, utf8, b"a"), (CN, utf8, b"b")]])),
        ("sixty RDNs", name(&many)),
        ("unsorted values", der::tlv(der::tag::SEQUENCE, &unsorted)),
        ("empty RDN", empty_rdn),
    ];
    let ask = |subject: Vec<u8>, id: String| {
        let csr = Csr::with_subject(subject).challenge(&instance.challenge);
        let (device, mut draft) = with_csr(&server, "subject", csr);
        draft.message.transaction_id = Text::printable(&id);
        server.send(&device, &draft).unwrap()
    };
    for (at, (what, subject)) in bad.into_iter().enumerate() {
        let reply = ask(subject, format!("t41 {at}"));
        assert!(reply.failure().is_ok(), "{what}: {reply:?}");
    }
    // The control: what is odd and honest is kept byte for byte, and two other readers see it.
    let organisation = "2.5.4.10";
    let honest = [
        ("Büro 東", cn(utf8, "Büro 東".as_bytes())),
        ("printable-1", cn(printable, b"printable-1")),
        ("twofold", name(&[&[(CN, utf8, b"twofold"), (organisation, utf8, b"Example")]])),
        (
            "long",
            name(&[
                &[(country, printable, b"DE")],
                &[(organisation, utf8, b"Example")],
                &[(CN, utf8, b"long")],
            ]),
        ),
    ];
    for (at, (shown, subject)) in honest.into_iter().enumerate() {
        let reply = ask(subject.clone(), format!("t41 honest {at}"));
        let certificate = reply.certificate().unwrap_or_else(|e| panic!("{shown}: {e}"));
        assert_eq!(certificate.subject, subject);
        let file = instance.folder().join("t41.pem");
        std::fs::write(&file, X509::from_der(&certificate.der).unwrap().to_pem().unwrap()).unwrap();
        let openssl = run(Command::new("openssl")
            .args(["x509", "-noout", "-subject", "-nameopt", "utf8,sep_comma_plus", "-in"])
            .arg(&file));
        let gnutls = run(Command::new("certtool").arg("-i").arg("--infile").arg(&file));
        assert!(openssl.contains(shown) && gnutls.contains(shown), "{openssl}\n{gnutls}");
    }
}
