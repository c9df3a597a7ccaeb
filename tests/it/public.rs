//! What anybody may ask: GetCACaps and GetCACert, and the HTTP around them (rows 7 to 31).

use softhsm_test::client::certs_only;
use softhsm_test::client::http::{self, Request};

use crate::common::shared;

#[test]
fn row_015_to_022_quirk_08_capabilities() {
    let instance = shared();
    let server = instance.server().unwrap();
    let answer = server.ask("GetCACaps", None).unwrap();
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    let text = answer.text();
    assert!(text.ends_with('\n') && !text.contains("\n\n") && !text.contains('\r'), "{text:?}");
    let mut caps = server.capabilities;
    caps.sort();
    // No next CA is staged, and DES3 and SHA-1 are not allowed: they are not listed.
    let expected =
        ["AES", "POSTPKIOperation", "Renewal", "SCEPStandard", "SHA-256", "SHA-384", "SHA-512"];
    assert_eq!(caps, expected);
}

#[test]
fn row_023_030_quirk_05_59_any_message_parameter_gives_the_same_answer() {
    let instance = shared();
    let server = instance.server().unwrap();
    for operation in ["GetCACaps", "GetCACert"] {
        let plain = server.ask(operation, None).unwrap();
        for message in ["", "0", "1", "7", "CAIdentifier", "a%20b%2Fc", "%FF"] {
            let answer = server.ask(operation, Some(message)).unwrap();
            assert_eq!((answer.status, &answer.body), (200, &plain.body), "{operation} {message}");
        }
    }
}

#[test]
fn row_026_to_028_031_104_quirk_15_30_certificates_of_the_ca_and_ra() {
    let instance = shared();
    let server = instance.server().unwrap();
    let answer = server.ask("GetCACert", None).unwrap();
    assert_eq!(answer.header("content-type"), Some("application/x-x509-ca-ra-cert"));
    let (certificates, crls) = certs_only(&answer.body).unwrap();
    assert!(crls.is_empty());
    let [decryption, signing, issuing, root] = certificates.as_slice() else {
        panic!("{} certificates", certificates.len());
    };
    // I4: one key, one purpose, and each says which.
    assert!(decryption.key_usage(2) && !decryption.key_usage(0) && !decryption.is_ca());
    assert!(signing.key_usage(0) && !signing.key_usage(2) && !signing.is_ca());
    assert!(issuing.is_ca() && issuing.key_usage(5) && root.is_ca());
    let mut keys: Vec<_> = certificates.iter().map(|c| &c.spki).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4);
    for certificate in [decryption, signing] {
        instance.verify(certificate).unwrap();
    }
    assert_eq!((&issuing.issuer, &root.issuer), (&root.subject, &root.subject));
}

#[test]
fn row_007_008_quirk_27_61_every_form_of_the_path_is_the_same_endpoint() {
    let instance = shared();
    let server = instance.server().unwrap();
    let caps = server.ask("GetCACaps", None).unwrap().body;
    let path = &server.url.path;
    for path in [
        format!("{path}/"),
        format!("{path}/pkiclient.exe"),
        "/cgi-bin/pkiclient.exe".into(),
        "/certsrv/mscep/mscep.dll".into(),
        "/certsrv/mscep/mscep.dll/pkiclient.exe".into(),
    ] {
        let target = format!("{path}?operation=GetCACaps");
        let answer = http::send(&server.url, &Request::get(&target)).unwrap();
        assert_eq!((answer.status, &answer.body), (200, &caps), "{path}");
    }
}

#[test]
fn row_009_quirk_64_http_1_0_without_host() {
    let instance = shared();
    let server = instance.server().unwrap();
    let target = format!("{}?operation=GetCACaps", server.url.path);
    let request = Request { version: "1.0", host: false, ..Request::get(&target) };
    assert_eq!(http::send(&server.url, &request).unwrap().status, 200);
}

#[test]
fn row_013_what_is_not_scep_is_told_so() {
    let instance = shared();
    let server = instance.server().unwrap();
    let path = &server.url.path;
    let cases = [
        (Request::get(&format!("{path}?operation=Nonsense")), 400),
        (Request::get(path), 400),
        (Request::get(&format!("{path}?operation=PKIOperation")), 400),
        (Request::get(&format!("{path}?operation=PKIOperation&message=")), 400),
        (Request::get("/nowhere?operation=GetCACaps"), 404),
        (Request { method: "PUT".into(), ..Request::post(path, vec![1]) }, 405),
        (Request { method: "DELETE".into(), ..Request::get(path) }, 405),
    ];
    for (request, status) in cases {
        let answer = http::send(&server.url, &request).unwrap();
        assert_eq!(answer.status, status, "{} {}", request.method, request.target);
        assert!(!answer.body.is_empty(), "{} {}: an empty body", request.method, request.target);
        assert_eq!(answer.header("content-type"), Some("text/plain"));
    }
}

#[test]
fn row_014_quirk_04_lengths_are_told_and_types_have_no_charset() {
    let instance = shared();
    let server = instance.server().unwrap();
    for operation in ["GetCACaps", "GetCACert", "PKIOperation"] {
        let answer = server.ask(operation, None).unwrap();
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()), "{operation}");
        assert_eq!(answer.header("transfer-encoding"), None, "{operation}");
        let kind = answer.header("content-type").unwrap();
        assert!(!kind.contains(';'), "{operation}: {kind}");
    }
}
