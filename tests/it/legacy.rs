//! Old algorithms behind an endpoint's switches (rows 21, 49, 50; quirks 1, 2, 37).

use softhsm_test::client::{Cipher, Digest, Outcome};
use softhsm_test::instance::{Instance, Options};

use crate::common::{BAD_ALG, good, refused};

fn allowing(algorithms: &str) -> Instance {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let setting = format!("[endpoint.device]\nalgorithms = {{ {algorithms} }}");
    instance.configure(|text| text.replace("[endpoint.device]", &setting)).unwrap();
    instance.start().unwrap();
    instance
}

#[test]
fn row_021_049_107_triple_des_and_sha_1_where_the_endpoint_allows_them() {
    let instance = allowing("des3 = true, sha1 = true");
    let server = instance.server().unwrap();
    for keyword in ["DES3", "SHA-1"] {
        assert!(server.capabilities.iter().any(|c| c == keyword), "{:?}", server.capabilities);
    }
    let status = instance.ask(&["status"]).unwrap();
    assert!(status.contains("device accepts triple DES; SHA-1"), "{status}");
    for line in [
        "ends:    CA of issuing",
        " days left\n",
        "CRL:     issuing 1",
        "(0 h old)",
        "warning: lab = true",
    ] {
        assert!(status.contains(line), "{line} in:\n{status}");
    }
    let (device, mut draft) = good(&instance, &server, "old");
    draft.envelope.as_mut().unwrap().cipher = Cipher::DesEde3;
    draft.message.digest = Digest::Sha1;
    let reply = server.send(&device, &draft).unwrap();
    let Outcome::Success(granted) = &reply.outcome else { panic!("{reply:?}") };
    // Row 81: what the request used, within what the endpoint allows.
    assert_eq!((granted.cipher, reply.digest), (Cipher::DesEde3, Digest::Sha1));
    let (device, mut draft) = good(&instance, &server, "older");
    draft.envelope.as_mut().unwrap().cipher = Cipher::Des;
    refused(&server, &device, &draft, BAD_ALG);
}

#[test]
fn row_050_quirk_01_02_37_single_des_and_md5_are_read_and_never_written() {
    let instance = allowing("des_and_md5 = true");
    let server = instance.server().unwrap();
    for forbidden in ["DES", "MD5"] {
        assert!(!server.capabilities.iter().any(|c| c == forbidden));
    }
    // Loud: at the start, and to everybody who looks.
    let loud = |text: &str| text.contains("endpoint") && text.contains("single DES and MD5");
    let logs = instance.logs();
    assert!(logs.lines().any(|l| l.contains("WARN") && l.contains("signer:") && loud(l)), "{logs}");
    assert!(loud(&instance.ask(&["status"]).unwrap()));
    let (device, mut draft) = good(&instance, &server, "cisco");
    draft.envelope.as_mut().unwrap().cipher = Cipher::Des;
    draft.message.digest = Digest::Md5;
    let reply = server.send(&device, &draft).unwrap();
    let Outcome::Success(granted) = &reply.outcome else { panic!("{reply:?}") };
    assert_eq!((granted.cipher, reply.digest), (Cipher::Aes128, Digest::Sha256));
    let logs = instance.logs();
    assert!(logs.lines().any(|l| l.contains("WARN") && l.contains("DES")), "{logs}");
}
