//! Several CAs and endpoints in one instance: each has its own capabilities, floor, reply shape, profile and
//! paths, and nothing is accepted at the one because the other lists it (row 8, row 21, I12).

use std::sync::atomic::{AtomicUsize, Ordering};

use softhsm_test::client::http::{self, Request};
use softhsm_test::client::{
    Cipher, Csr, Delivery, Device, Digest, Draft, Envelope, Escaping, Outcome, Parts, Server, Text,
    certs_only, der, keys,
};
use softhsm_test::instance::{Instance, Options};

use crate::common::{BAD_ALG, BAD_REQUEST, ledger, refused, with_csr};
use crate::threats_names::new_challenge;

/// What the three endpoints are told, beside path, CA and profile.
const MODERN: &str = "ca_cert_response = [\"ra-decryption\", \"ra-signing\", \"issuing\"]\n\
    allow_get = false\nrenewal = { window = \"3650d\" }\n";
const OLD: &str = "algorithms = { des3 = true, sha1 = true }\ncertrep_chain = \"fullchain\"\n\
    renewal = { enabled = false }\naliases = [\"/router/enrol\"]\n";
const OLDEST: &str = "algorithms = { des_and_md5 = true }\ncertrep_chain = \"chain\"\n";

struct Site {
    instance: Instance,
    /// Name, endpoint, challenge.
    endpoints: Vec<(&'static str, Server, String)>,
}

impl Site {
    fn new() -> Self {
        let options = Options { arguments: vec!["--next-ca".into()], ..Options::default() };
        let mut instance = Instance::create(&options).unwrap();
        instance
            .configure(|text| {
                // Two CAs that have nothing to do with each other.
                let text: String = text
                    .lines()
                    .filter(|line| !line.starts_with("next = "))
                    .map(|line| format!("{line}\n"))
                    .collect();
                let endpoint = |name: &str, ca: &str, more: &str| {
                    format!("\n[endpoint.{name}]\npath = \"/site/{name}\"\nca = \"{ca}\"\nprofile = \"{name}\"\n{more}")
                };
                text + "\n[profile.modern]\nkey_types = [\"rsa-3072\"]\nextended_key_usage = [\"clientAuth\"]\n"
                    + "\n[profile.old]\nvalidity = \"30d\"\nextended_key_usage = [\"serverAuth\"]\n"
                    + "\n[profile.oldest]\nsubject = { required = [\"O\"] }\nbasic_constraints = true\n"
                    + &endpoint("modern", "issuing", MODERN)
                    + &endpoint("old", "issuing-2", OLD)
                    + &endpoint("oldest", "issuing-2", OLDEST)
            })
            .unwrap();
        let challenges = ["modern", "old", "oldest"].map(|name| new_challenge(&instance, name));
        instance.start().unwrap();
        let base = instance.url.replace("/scep/device", "");
        let at = |(name, challenge)| {
            (name, Server::discover(&format!("{base}/site/{name}")).unwrap(), challenge)
        };
        let endpoints = ["modern", "old", "oldest"].into_iter().zip(challenges).map(at).collect();
        Self { instance, endpoints }
    }

    fn endpoint(&self, name: &str) -> (&Server, &str) {
        let (_, server, challenge) = self.endpoints.iter().find(|(n, ..)| *n == name).unwrap();
        (server, challenge)
    }
}

/// An enrolment with a key that nothing else has; those of 3072 bits are kept between runs.
fn request(server: &Server, challenge: &str, name: &str, bits: u32) -> (Device, Draft) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let key = match bits {
        2048 => keys::rsa(),
        _ => keys::pooled(bits, NEXT.fetch_add(1, Ordering::Relaxed)),
    };
    let device = Device::with_key(key.unwrap(), name).unwrap();
    let subject = der::name(&[("2.5.4.10", "Example"), ("2.5.4.3", name)]);
    let csr = Csr::with_subject(subject).challenge(challenge).build(&device.key).unwrap();
    let draft = server.draft(&device, "19", csr).unwrap();
    (device, draft)
}

/// What the profiles allow: only `modern` wants longer keys.
fn bits(endpoint: &str) -> u32 {
    if endpoint == "modern" { 3072 } else { 2048 }
}

fn issuer_of(certificate: &Parts) -> Vec<u8> {
    certificate.issuer.clone()
}

#[test]
fn row_008_021_027_107_several_cas_and_endpoints_side_by_side() {
    let site = Site::new();
    let caps = |name: &str| {
        let mut caps = site.endpoint(name).0.capabilities.clone();
        caps.sort();
        caps
    };
    let base = ["AES", "POSTPKIOperation", "SCEPStandard", "SHA-256", "SHA-384", "SHA-512"];
    let with = |more: &[&str]| {
        let mut all: Vec<String> = base.iter().chain(more).map(|s| (*s).to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(caps("modern"), with(&["Renewal"]));
    assert_eq!(caps("old"), with(&["DES3", "SHA-1"]));
    assert_eq!(caps("oldest"), with(&["Renewal"]), "what the RFC forbids has no keyword");

    // Each hands out its own CA, in its own shape.
    let handed = |name: &str| site.endpoint(name).0.authorities.clone();
    assert_eq!((handed("modern").len(), handed("old").len()), (3, 4));
    let ca = |name: &str| site.endpoint(name).0.issuing().unwrap().clone();
    assert_ne!(ca("modern").der, ca("old").der);
    assert_eq!(ca("old").der, ca("oldest").der);

    // What one lists, the others refuse; what it lists works. (cipher, digest, who takes it)
    for (cipher, digest, takes) in [
        (Cipher::Aes128, Digest::Sha256, &["modern", "old", "oldest"][..]),
        (Cipher::Aes256, Digest::Sha512, &["modern", "old", "oldest"][..]),
        (Cipher::DesEde3, Digest::Sha256, &["old"][..]),
        (Cipher::Aes128, Digest::Sha1, &["old"][..]),
        (Cipher::DesEde3, Digest::Sha1, &["old"][..]),
        (Cipher::Des, Digest::Sha256, &["oldest"][..]),
        (Cipher::Aes128, Digest::Md5, &["oldest"][..]),
        (Cipher::Des, Digest::Md5, &["oldest"][..]),
        (Cipher::Des, Digest::Sha1, &[][..]),
        (Cipher::DesEde3, Digest::Md5, &[][..]),
    ] {
        for (name, server, challenge) in &site.endpoints {
            let (device, mut draft) = request(server, challenge, "algorithms", bits(name));
            draft.envelope.as_mut().unwrap().cipher = cipher;
            draft.message.digest = digest;
            if !takes.contains(name) {
                refused(server, &device, &draft, BAD_ALG);
                continue;
            }
            let reply = server.send(&device, &draft).unwrap();
            let certificate =
                reply.certificate().unwrap_or_else(|e| panic!("{name} {cipher:?} {digest:?}: {e}"));
            assert_eq!(issuer_of(certificate), ca(name).subject, "{name}");
            let Outcome::Success(success) = &reply.outcome else { unreachable!() };
            let chain = match *name {
                "modern" => 1,
                "old" => 3,
                _ => 2,
            };
            assert_eq!(success.certificates.len(), chain, "{name}");
        }
    }

    // Profiles: key sizes, usages, lifetimes, subjects.
    let (modern, challenge) = site.endpoint("modern");
    let (device, draft) = request(modern, challenge, "short key", 2048);
    refused(modern, &device, &draft, BAD_ALG);
    let (oldest, challenge) = site.endpoint("oldest");
    let csr = Csr::new("no organisation").challenge(challenge);
    let (device, draft) = with_csr(oldest, "no organisation", csr);
    refused(oldest, &device, &draft, BAD_REQUEST);

    // A challenge opens its own endpoint alone, and an envelope is for its own RA alone.
    for (name, server, _) in &site.endpoints {
        for (other, elsewhere, challenge) in site.endpoints.iter().filter(|(n, ..)| n != name) {
            let (device, draft) = request(server, challenge, "stray", bits(name));
            refused(server, &device, &draft, BAD_REQUEST);
            if ca(name).der != ca(other).der {
                let (device, mut draft) =
                    request(server, site.endpoint(name).1, "stray", bits(name));
                draft.envelope = Some(Envelope::to(elsewhere.encryption().unwrap()));
                assert!(server.send(&device, &draft).unwrap().failure().is_ok(), "{name} {other}");
            }
        }
    }

    // GET is one endpoint's choice.
    let (device, draft) = request(modern, site.endpoint("modern").1, "by GET", 3072);
    let sent = draft.build(&device).unwrap();
    let answer = modern.deliver(&sent.body, &Delivery::Get(Escaping::Full)).unwrap();
    assert_ne!(answer.status, 200, "allow_get = false");
    let (old, challenge) = site.endpoint("old");
    let (device, draft) = request(old, challenge, "by GET", 2048);
    let sent = draft.build(&device).unwrap();
    let answer = old.deliver(&sent.body, &Delivery::Get(Escaping::Full)).unwrap();
    assert!(old.read(&answer, &sent, &device).unwrap().certificate().is_ok());
}

#[test]
fn row_008_030_quirk_27_61_every_path_form_of_every_endpoint_leads_to_it_and_to_no_other() {
    let site = Site::new();
    for (name, server, challenge) in &site.endpoints {
        let path = &server.url.path;
        let mut forms = vec![path.clone(), format!("{path}/"), format!("{path}/pkiclient.exe")];
        if *name == "old" {
            forms.extend(
                ["/router/enrol", "/router/enrol/", "/router/enrol/pkiclient.exe"]
                    .map(String::from),
            );
        }
        for form in forms {
            // Private CA identifiers, whatever they are.
            for ident in
                ["", "&message=", "&message=0", "&message=modern", "&message=CA%20of%20another"]
            {
                let ask = |operation: &str| {
                    let target = format!("{form}?operation={operation}{ident}");
                    http::send(&server.url, &Request::get(&target)).unwrap()
                };
                let mut caps: Vec<String> =
                    ask("GetCACaps").text().lines().map(String::from).collect();
                let mut expected = server.capabilities.clone();
                caps.sort();
                expected.sort();
                assert_eq!(caps, expected, "{form} {ident}");
                let (certificates, _) = certs_only(&ask("GetCACert").body).unwrap();
                assert_eq!(certificates, server.authorities, "{form} {ident}");
            }
            let there = Server { url: server.url.with_path(&form), ..server.clone() };
            let (device, mut draft) = request(&there, challenge, "form", bits(name));
            draft.message.transaction_id = Text::printable(&format!("{name} {form}"));
            let reply = there.send(&device, &draft).unwrap();
            assert_eq!(issuer_of(reply.certificate().unwrap()), server.issuing().unwrap().subject);
        }
    }
    // The ledger says where each came in.
    let entries = ledger(&site.instance);
    for name in ["modern", "old", "oldest"] {
        let here =
            entries.iter().filter(|e| e.event == "reservation" && e.field("endpoint") == name);
        assert_eq!(here.count(), if name == "old" { 6 } else { 3 }, "{name}");
    }
    // A certificate of the one renews nothing at the others.
    let (modern, challenge) = site.endpoint("modern");
    let (device, draft) = request(modern, challenge, "renewing", 3072);
    let certificate = modern.send(&device, &draft).unwrap().certificate().unwrap().clone();
    let held = Device::issued(device.key, certificate);
    for (name, server, _) in &site.endpoints {
        let new = keys::fresh_rsa(3072).unwrap();
        let subject = der::name(&[("2.5.4.10", "Example"), ("2.5.4.3", "renewing")]);
        let csr = Csr::with_subject(subject).build(&new).unwrap();
        let draft = server.draft(&held, "17", csr).unwrap();
        let reply = server.send(&held, &draft).unwrap();
        assert_eq!(reply.certificate().is_ok(), *name == "modern", "{name}: {reply:?}");
    }
}
