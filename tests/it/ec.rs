//! Devices whose keys cannot decrypt (row 46): told so, or served under a one-time challenge as the
//! password in both directions (RFC 8894 section 3.1).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkcs5::pbkdf2_hmac;
use softhsm_test::client::message::{Message, issuer_and_serial, issuer_and_subject};
use softhsm_test::client::reply::Outcome;
use softhsm_test::client::{
    Cipher, Csr, Delivery, Device, Digest, Draft, Envelope, Password, Server, Text, keys,
};
use softhsm_test::instance::{Instance, Options};
use softhsm_test::processes::processor_time;

use crate::common::{
    BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, granted, ledger, refused, run, shared, with_csr,
};
use crate::one_time::holds_not;

pub const SEALED: &str = "one_time_challenges = true\nchallenge_storage = \"sealed\"\n";

/// An instance whose endpoint keeps one-time challenges sealed, and has `settings` too.
fn sealed(settings: &str) -> (Instance, Server) {
    with(&format!("{SEALED}{settings}"))
}

/// An instance whose profile takes EC keys and whose endpoint has `settings`.
pub fn with(settings: &str) -> (Instance, Server) {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let endpoint = format!("[endpoint.device]\n{settings}");
    instance
        .configure(|text| {
            text.replace("[endpoint.device]", &endpoint)
                .replace("key_types = [", "key_types = [\"p-256\", \"p-384\", ")
        })
        .unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    (instance, server)
}

/// A fresh one-time challenge and its transaction ID.
pub fn issue(instance: &Instance) -> (String, String) {
    let text = instance.ask(&["challenge", "issue", "device", "--json"]).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let field = |name: &str| value[name].as_str().unwrap().to_owned();
    (field("challenge"), field("transaction_id"))
}

fn ec_device(name: &str, curve: Nid) -> Device {
    Device::with_key(keys::fresh_ec(curve).unwrap(), name).unwrap()
}

/// A PKCSReq of a new device with a P-256 key, under `challenge`.
pub fn asking(server: &Server, name: &str, (challenge, id): &(String, String)) -> (Device, Draft) {
    let device = ec_device(name, Nid::X9_62_PRIME256V1);
    let draft = draft(server, &device, name, challenge, id);
    (Device { password: Some(challenge.clone()), ..device }, draft)
}

fn draft(server: &Server, device: &Device, name: &str, challenge: &str, id: &str) -> Draft {
    let csr = Csr::new(name).challenge(challenge).build(&device.key).unwrap();
    let mut draft = server.draft(device, "19", csr).unwrap();
    let password = Password::new(challenge);
    draft.envelope = Some(Envelope::under(password, server.encryption().unwrap()));
    draft.message.transaction_id = Text::printable(id);
    draft
}

fn password(draft: &mut Draft) -> &mut Password {
    &mut draft.envelope.as_mut().unwrap().passwords[0]
}

#[test]
fn row_046_a_device_with_an_ec_key_is_told_to_take_rsa() {
    let instance = shared();
    let server = instance.server().unwrap();
    for curve in [Nid::X9_62_PRIME256V1, Nid::SECP384R1] {
        let device = ec_device("elliptic", curve);
        let csr = Csr::new("elliptic").challenge(&instance.challenge).build(&device.key).unwrap();
        let ordinary = server.draft(&device, "19", csr).unwrap();
        let under = draft(&server, &device, "elliptic", &instance.challenge, "elliptic");
        let mut poll = ordinary.clone();
        poll.message.message_type = Text::printable("20");
        for draft in [ordinary, under, poll] {
            let text = refused(&server, &device, &draft, BAD_ALG).unwrap();
            assert!(text.contains("RSA keys only; enrol with an RSA key"), "{text}");
        }
    }
}

#[test]
fn row_046_an_ec_device_enrols_under_its_one_time_challenge() {
    let (mut instance, server) = sealed("");
    let known = issue(&instance);
    assert_eq!((known.0.len(), known.1.len()), (48, 64));
    let (device, draft) = asking(&server, "elliptic", &known);
    let certificate = granted(&instance, &server, &device, &draft);
    // A lost reply is none, over a restart either: the same certificate, under the same challenge.
    assert_eq!(granted(&instance, &server, &device, &draft), certificate);
    instance.stop().unwrap();
    holds_not(instance.folder(), known.0.as_bytes());
    instance.start().unwrap();
    assert_eq!(granted(&instance, &server, &device, &draft), certificate);
    let issued = ledger(&instance).iter().filter(|e| e.event == "certificate").count();
    assert_eq!(issued, 1);
    // Whoever learns the challenge too late gets nothing for another key.
    let (thief, again) = asking(&server, "elliptic", &known);
    let text = refused(&server, &thief, &again, BAD_REQUEST).unwrap();
    assert!(text.contains("was used for another request"), "{text}");
    assert!(!instance.logs().contains(&known.0), "{}", instance.logs());
    // Devices with RSA keys are served as ever, by challenges of both kinds.
    for challenge in [instance.challenge.clone(), issue(&instance).0] {
        let (device, draft) =
            with_csr(&server, "ordinary", Csr::new("ordinary").challenge(&challenge));
        granted(&instance, &server, &device, &draft);
    }
}

#[test]
fn row_046_what_a_device_may_choose() {
    let (instance, server) = sealed("");
    for (prf, wrapping, content, iterations) in [
        (Digest::Sha1, Cipher::Aes128, Cipher::Aes128, 1),
        (Digest::Sha256, Cipher::Aes256, Cipher::Aes256, 10_000),
        (Digest::Sha384, Cipher::Aes192, Cipher::Aes128, 600),
        (Digest::Sha512, Cipher::Aes128, Cipher::Aes256, 100_000),
    ] {
        let (device, mut draft) = asking(&server, "choosing", &issue(&instance));
        let chosen = password(&mut draft);
        (chosen.prf, chosen.cipher, chosen.iterations) = (prf, wrapping, iterations);
        draft.envelope.as_mut().unwrap().cipher = content;
        granted(&instance, &server, &device, &draft);
    }
}

#[test]
fn row_046_t16_t62_what_a_password_must_not_ask_for() {
    let (mut instance, server) = sealed("");
    let known = issue(&instance);
    let before = instance.service("serve").unwrap().processor_time();
    for claimed in [100_001, 1 << 31, u64::MAX >> 1] {
        let (device, mut draft) = asking(&server, "hostile", &known);
        password(&mut draft).claimed = Some(claimed);
        let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
        assert!(text.contains("more than 100000 iterations"), "{text}");
    }
    let took = instance.service("serve").unwrap().processor_time() - before;
    assert!(took < Duration::from_secs(1), "something was derived: {took:?}");
    let (device, mut draft) = asking(&server, "old", &known);
    password(&mut draft).cipher = Cipher::DesEde3;
    assert!(refused(&server, &device, &draft, BAD_ALG).unwrap().contains("use AES"));
    // The password is the one recipient: not two of them, and no key beside it.
    let (device, mut twice) = asking(&server, "two", &known);
    let mut beside = twice.clone();
    let envelope = twice.envelope.as_mut().unwrap();
    envelope.passwords.push(Password::new(&known.0));
    let envelope = beside.envelope.as_mut().unwrap();
    envelope.recipients = Envelope::to(server.encryption().unwrap()).recipients;
    for draft in [twice, beside] {
        let text = refused(&server, &device, &draft, BAD_MESSAGE_CHECK).unwrap();
        assert!(text.contains("more recipients than the password"), "{text}");
    }
    // A device that could decrypt has to.
    let rsa = Device::new("lazy").unwrap();
    let draft = self::draft(&server, &rsa, "lazy", &known.0, &known.1);
    let text = refused(&server, &rsa, &draft, BAD_MESSAGE_CHECK).unwrap();
    assert!(text.contains("not addressed to this RA"), "{text}");
    // An EC device that encrypts to the RA's key alone could not read the reply.
    let csr = Csr::new("deaf").challenge(&known.0).build(&device.key).unwrap();
    let ordinary = server.draft(&device, "19", csr).unwrap();
    let text = refused(&server, &device, &ordinary, BAD_ALG).unwrap();
    assert!(text.contains("PasswordRecipientInfo"), "{text}");
    let (device, draft) = asking(&server, "patient", &known);
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_046_a_renewal_is_refused_with_the_reason() {
    let (instance, server) = sealed("renewal = { window = \"3650d\" }\n");
    let (device, draft) = asking(&server, "renewing", &issue(&instance));
    let certificate = granted(&instance, &server, &device, &draft);
    let old = Device::issued(device.key, certificate);
    let new = ec_device("renewing", Nid::X9_62_PRIME256V1);
    let csr = Csr::new("renewing").build(&new.key).unwrap();
    let mut draft = server.draft(&old, "17", csr).unwrap();
    let (challenge, id) = issue(&instance);
    let under = Envelope::under(Password::new(&challenge), server.encryption().unwrap());
    for envelope in [draft.envelope.clone().unwrap(), under] {
        draft.envelope = Some(envelope);
        draft.message.transaction_id = Text::printable(&id);
        let text = refused(&server, &old, &draft, BAD_ALG).unwrap();
        assert!(text.contains("enrol anew with a one-time challenge"), "{text}");
    }
    // Which works: a new key, a new challenge.
    let (device, draft) = asking(&server, "renewing", &(challenge, id));
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_046_challenge_and_transaction_id_belong_together() {
    let (instance, server) = sealed("");
    let (known, other) = (issue(&instance), issue(&instance));
    let device = ec_device("mixed", Nid::X9_62_PRIME256V1);
    for challenge in [instance.challenge.as_str(), &other.0] {
        let mut draft = draft(&server, &device, "mixed", challenge, &known.1);
        password(&mut draft).text.clone_from(&known.0);
        let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
        assert!(text.contains("came together"), "{text}");
    }
    let mut draft = draft(&server, &device, "mixed", &known.0, &known.1);
    draft.plaintext = Csr::new("mixed").build(&device.key).unwrap();
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("no challenge password"), "{text}");
    let refusal = instance.command(&["challenge", "issue", "device", "--uses", "2"]).unwrap();
    let said = String::from_utf8_lossy(&refusal.stderr).into_owned();
    assert!(!refusal.status.success() && said.contains("--count"), "{said}");
    let csv = instance.ask(&["challenge", "issue", "device", "--csv"]).unwrap();
    let lines: Vec<Vec<&str>> = csv.lines().map(|l| l.split(',').collect()).collect();
    assert_eq!((lines[0][6], lines[1][6].len()), ("transaction_id", 64), "{csv}");
    let plain = instance.ask(&["challenge", "issue", "device"]).unwrap();
    assert!(plain.contains("transaction ID "), "{plain}");
}

/// What is seen from outside, without what is fresh in every answer.
fn seen(server: &Server, device: &Device, draft: &Draft) -> (u16, Vec<String>, usize) {
    let sent = draft.build(device).unwrap();
    let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
    let reply = server.read(&answer, &sent, device).unwrap();
    assert_eq!(reply.failure().unwrap(), (BAD_REQUEST, None));
    let names = answer.headers.iter().filter(|(n, _)| n != "date");
    let names = names.map(|(n, v)| format!("{n}: {v}")).collect();
    (answer.status, names, answer.body.len())
}

/// A derivation as the next test's messages ask for.
fn derive() {
    let mut key = [0; 16];
    let digest = MessageDigest::sha1();
    pbkdf2_hmac(&[b'0'; 48], &[1; 16], 100_000, digest, &mut key).unwrap();
}

#[test]
fn row_046_t14_t68_every_failure_to_open_looks_the_same_and_takes_as_long() {
    let (mut instance, server) = sealed("");
    let known = issue(&instance);
    let nobodys = (known.0.clone(), "ab".repeat(32));
    type Spoiler = (&'static str, fn(&mut Draft));
    let cases: [Spoiler; 6] = [
        ("a wrong password", |d| password(d).text = "0".repeat(48)),
        ("no transaction of that ID", |_| {}),
        ("a bit of the wrapped key", |d| password(d).tampered = true),
        ("another salt's key", |d| password(d).claimed = Some(99_999)),
        ("not a PKCS#10", |d| d.plaintext = b"nothing that anybody reads".to_vec()),
        ("bytes behind the PKCS#10", |d| d.plaintext.extend([0; 3])),
    ];
    let mut first = None;
    let mut used = || instance.service("serve").unwrap().processor_time();
    // None is answered before a key was derived, also where there is no password to derive it from. What
    // that takes is counted in the processors' time, which other work on this machine does not stretch.
    const TIMES: u32 = 5;
    let own = || processor_time("/proc/thread-self/stat");
    let before = own();
    (0..TIMES).for_each(|_| derive());
    let derivations = own() - before;
    assert!(derivations > Duration::from_millis(50), "half a million rounds took {derivations:?}");
    for (what, spoil) in cases {
        let named = if what.starts_with("no transaction") { &nobodys } else { &known };
        let before = used();
        for _ in 0..TIMES {
            let (device, mut draft) = asking(&server, "oracle", named);
            password(&mut draft).iterations = 100_000;
            spoil(&mut draft);
            let found = seen(&server, &device, &draft);
            let expected = first.get_or_insert_with(|| found.clone());
            assert_eq!(&found, expected, "{what} looks different");
        }
        let took = used() - before;
        assert!(took > derivations / 2, "{what}: {took:?}, and derivations take {derivations:?}");
    }
    let (device, draft) = asking(&server, "oracle", &known);
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_046_t04_wrong_passwords_are_counted_as_wrong_challenges() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let limits = "[signer]\nwrong_challenges = { per_source = 3 }";
    let endpoint = format!("[endpoint.device]\n{SEALED}");
    instance
        .configure(|text| text.replace("[signer]", limits).replace("[endpoint.device]", &endpoint))
        .unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let known = issue(&instance);
    for guess in 0..3 {
        let (device, mut draft) = asking(&server, "guesser", &known);
        password(&mut draft).text = format!("{guess:048}");
        assert_eq!(refused(&server, &device, &draft, BAD_REQUEST), None, "I7: no text");
    }
    for right in [false, true] {
        let (device, mut draft) = asking(&server, "guesser", &known);
        if !right {
            password(&mut draft).text = "f".repeat(48);
        }
        let sent = draft.build(&device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    assert!(instance.logs().contains("event=challenges-tried"), "{}", instance.logs());
}

#[test]
fn row_046_an_officer_approves_an_ec_device() {
    let (instance, server) = sealed("approval = \"officer\"\n");
    let known = issue(&instance);
    let (device, mut draft) = asking(&server, "waiting", &known);
    assert!(
        server
            .send(&device, &draft)
            .unwrap()
            .certificate()
            .unwrap_err()
            .to_string()
            .contains("PENDING")
    );
    instance.ask(&["request", "approve", &known.1]).unwrap();
    let issuer = &server.issuing().unwrap().subject;
    draft.message.message_type = Text::printable("20");
    draft.plaintext = issuer_and_subject(issuer, &device.certificate.subject);
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_046_key_agreement_where_the_endpoint_says_so() {
    let (instance, server) =
        with("ec_key_agreement = true\nrenewal = { window = \"3650d\" }\nget_crl = true\n");
    for curve in [Nid::X9_62_PRIME256V1, Nid::SECP384R1] {
        let device = ec_device("agreeing", curve);
        let csr = Csr::new("agreeing").challenge(&instance.challenge).build(&device.key).unwrap();
        let mut draft = server.draft(&device, "19", csr).unwrap();
        draft.envelope.as_mut().unwrap().cipher = Cipher::Aes256;
        let certificate = granted(&instance, &server, &device, &draft);
        // And a renewal, as devices with RSA keys have it; the reply goes to the old key.
        let old = Device::issued(device.key, certificate);
        let new = ec_device("agreeing", curve);
        let csr = Csr::new("agreeing").build(&new.key).unwrap();
        let reply = server.send(&old, &server.draft(&old, "17", csr).unwrap()).unwrap();
        assert_eq!(reply.certificate().unwrap().spki, new.key.public_key_to_der().unwrap());
        let issuing = server.issuing().unwrap();
        let asked = issuer_and_serial(&issuing.subject, &old.certificate.serial);
        let reply = server.send(&old, &server.draft(&old, "22", asked).unwrap()).unwrap();
        let Outcome::Success(found) = &reply.outcome else { panic!("{reply:?}") };
        assert_eq!(found.crls.len(), 1);
        // Nothing here opens a request that is under a password.
        let draft = self::draft(&server, &old, "agreeing", &instance.challenge, "agreeing");
        let text = refused(&server, &old, &draft, BAD_ALG).unwrap();
        assert!(text.contains("to the RA's certificate"), "{text}");
    }
}

#[test]
fn row_046_openssl_makes_the_request_and_opens_the_reply() {
    let (instance, server) = sealed("");
    let folder = tempfile::tempdir().unwrap();
    let openssl = |arguments: &str| {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()))
    };
    let at = |name: &str| folder.path().join(name);
    for cipher in ["aes128", "aes256"] {
        let (challenge, id) = issue(&instance);
        let (device, draft) = asking(&server, "openssl", &(challenge.clone(), id.clone()));
        std::fs::write(at("csr"), &draft.plaintext).unwrap();
        openssl(&format!(
            "cms -encrypt -binary -{cipher} -in csr -outform DER -out envelope -pwri_password {challenge}"
        ));
        let envelope = std::fs::read(at("envelope")).unwrap();
        let message = Message { content: Some(envelope), ..draft.message };
        let body = message.sign(&device.key, &device.certificate).unwrap();
        let answer = server.deliver(&body, &Delivery::Post(None)).unwrap();
        std::fs::write(at("reply"), &answer.body).unwrap();
        openssl("cms -verify -noverify -binary -inform DER -in reply -out sealed");
        openssl(&format!(
            "cms -decrypt -binary -inform DER -in sealed -out certs -pwri_password {challenge}"
        ));
        let shown = openssl("pkcs7 -inform DER -in certs -print_certs -noout");
        assert!(shown.contains("openssl"), "{shown}");
        assert_no_password_opens(&at("sealed"), "a wrong password");
    }
}

fn assert_no_password_opens(sealed: &Path, password: &str) {
    let mut command = Command::new("openssl");
    command.args(["cms", "-decrypt", "-binary", "-inform", "DER", "-in"]).arg(sealed);
    assert!(!command.args(["-pwri_password", password]).output().unwrap().status.success());
}
