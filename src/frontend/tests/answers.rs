//! What each request is answered; the rows are those of `docs/scep.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// Rows 14, 15, 17, 23 and 25 to 30.
#[tokio::test]
async fn caps_and_certificates_are_the_signers_byte_for_byte() {
    let (_folder, _signer, role) = mirrored().await;
    for message in ["", "&message", "&message=", "&message=0", "&message=any%00thing&x=y"] {
        let (head, body) = role.get(&format!("/scep/a?operation=GetCACaps{message}")).await;
        assert_eq!(status(&head), 200, "{head}");
        assert_eq!(field(&head, "Content-Type").as_deref(), Some("text/plain"));
        assert_eq!(field(&head, "Content-Length"), Some(body.len().to_string()));
        assert_eq!(field(&head, "Transfer-Encoding"), None);
        assert_eq!(field(&head, "Server"), None);
        assert_eq!(body, endpoint("a").caps);

        let (head, body) = role.get(&format!("/scep/a?operation=GetCACert{message}")).await;
        let media = field(&head, "Content-Type");
        assert_eq!(media.as_deref(), Some("application/x-x509-ca-ra-cert"));
        assert_eq!(field(&head, "Content-Length"), Some(body.len().to_string()));
        assert_eq!(body, endpoint("a").ca_body);
    }
}

/// Rows 1 to 4, 11 and 14, and base64 by POST.
#[tokio::test]
async fn a_message_by_post_reaches_the_signer_whole() {
    let (_folder, _signer, role) = mirrored().await;
    let message = message(&(0..=255).cycle().take(20_000).collect::<Vec<u8>>());
    let reversed: Vec<u8> = message.iter().rev().copied().collect();
    for target in ["/scep/a", "/scep/a?operation=PKIOperation", "/scep/a/pkiclient.exe?message="] {
        let (head, body) = role.post(target, &message).await;
        assert_eq!(status(&head), 200, "{head}");
        assert_eq!(field(&head, "Content-Type").as_deref(), Some("application/x-pki-message"));
        assert_eq!(field(&head, "Content-Length"), Some(body.len().to_string()));
        assert_eq!(field(&head, "Cache-Control").as_deref(), Some("no-store"));
        assert_eq!(field(&head, "Transfer-Encoding"), None);
        assert!(body == reversed);
    }
    let text = STANDARD.encode(&message);
    let (head, body) = role.post("/scep/a", text.as_bytes()).await;
    assert_eq!(status(&head), 200, "{head}");
    assert!(body == reversed);
}

/// Rows 5 and 6: the ways in which clients write one message into a URL.
#[tokio::test]
async fn a_message_by_get_is_read_in_every_spelling() {
    let (_folder, _signer, role) = mirrored().await;
    let message = message(b"by GET");
    let reversed: Vec<u8> = message.iter().rev().copied().collect();
    let base64 = STANDARD.encode(&message);
    assert!(base64.contains('+') && base64.contains('/') && base64.ends_with('='), "{base64}");
    let full = base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let lines = |end| {
        base64
            .as_bytes()
            .chunks(64)
            .map(str::from_utf8)
            .map(Result::unwrap)
            .collect::<Vec<_>>()
            .join(end)
    };
    for (spelling, message) in [
        ("escaped", full.clone()),
        ("raw", base64.clone()),
        ("only the padding escaped", base64.replace('=', "%3D")),
        ("lines", lines("%0A").replace('+', "%2B")),
        ("lines with CR", lines("%0D%0A").replace('+', "%2B")),
        ("escaped twice", full.replace('%', "%25")),
        ("blanks", base64.replace('+', "%20")),
        ("no padding", base64.trim_end_matches('=').to_owned()),
        ("a line end", full.clone() + "%0A"),
        ("for URLs", base64.replace('+', "-").replace('/', "_").replace('=', "")),
    ] {
        let target = format!("/scep/a?operation=PKIOperation&message={message}");
        let (head, body) = role.get(&target).await;
        assert_eq!(status(&head), 200, "{spelling}: {head}");
        assert!(body == reversed, "{spelling}");
        assert_eq!(field(&head, "Cache-Control").as_deref(), Some("no-store"));
    }
}

/// Rows 7 to 10.
#[tokio::test]
async fn paths_and_old_versions() {
    let (_folder, _signer, role) = mirrored().await;
    for path in [
        "/scep/a",
        "/scep/a/",
        "/scep/a/pkiclient.exe",
        "/cgi-bin/pkiclient.exe",
        "/certsrv/mscep/mscep.dll",
        "/certsrv/mscep/mscep.dll/pkiclient.exe",
    ] {
        let request = format!("GET {path}?operation=GetCACaps HTTP/1.0\r\n\r\n");
        let (head, body) = role.raw(request).await;
        assert_eq!((status(&head), body), (200, endpoint("a").caps), "{path}");
    }
    // A request line of more than 16 KiB; then one over the limit of 32.
    for (length, expected) in [(15_000, 200), (30_000, 414)] {
        let message = STANDARD.encode(message(&vec![7; length]));
        let target = format!("/scep/a?operation=PKIOperation&message={message}");
        assert!(target.len() > 16 * 1024);
        assert_eq!(status(&role.get(&target).await.0), expected, "{length}");
    }
    assert_eq!(status(&role.post("/scep/a", &vec![0x30; 1 << 20]).await.0), 413);
}

/// Row 13 and T66: every refusal is text, says what is wrong and repeats nothing of the request.
#[tokio::test]
async fn refusals() {
    let (_folder, _signer, role) = mirrored().await;
    let get =
        |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let with = |method: &str, target: &str, body: &str| {
        let length = body.len();
        format!(
            "{method} {target} HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let table = [
        (get("/"), 404, "no SCEP endpoint"),
        (get("/scep/canary?operation=GetCACaps"), 404, "no SCEP endpoint"),
        (get("/scep/a"), 400, "GetCACert and GetNextCACert by GET"),
        (get("/scep/a?operation=canary"), 400, "PKIOperation by POST and GET"),
        (get("/scep/a?operation=GetCACaps&operation=canary"), 400, "once"),
        (get("/scep/a?operation=GetNextCACert"), 404, "no next CA"),
        (get("/scep/a?operation=PKIOperation"), 400, "no message"),
        (get("/scep/a?operation=PKIOperation&message="), 400, "no message"),
        (get("/scep/a?operation=PKIOperation&message=%00canary%00"), 400, "not base64"),
        (get("/scep/a?operation=PKIOperation&message=AAAA"), 400, ""),
        (with("POST", "/scep/a?operation=PKIOperation", ""), 400, "no message"),
        (with("POST", "/scep/a?operation=PKIOperation", "0"), 400, ""),
        (with("POST", "/scep/a", "{canary}"), 400, "not base64"),
        (with("POST", "/scep/a?operation=canary", ""), 400, "unknown operation"),
        (with("POST", "/scep/a?operation=GetCACert", ""), 405, "method"),
        (with("HEAD", "/scep/a?operation=GetCACaps", ""), 405, ""),
        (with("TRACE", "/scep/a?operation=GetCACaps", ""), 405, "method"),
        (with("PUT", "/scep/a", "canary"), 405, "method"),
        (with("DELETE", "/canary", ""), 405, "method"),
        (with("OPTIONS", "*", ""), 405, "method"),
        (with("BREW", "/scep/a", ""), 405, "method"),
        ("CONNECT canary:443 HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), 405, "method"),
    ];
    for (request, code, text) in table {
        let (head, body) = role.raw(&request).await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status(&head), code, "{request}\n{head}{body}");
        assert!(body.contains(text), "{request}\n{head}{body}");
        assert!(!body.contains("canary") && !head.contains("canary"), "{head}{body}");
        assert_eq!(field(&head, "Content-Type").as_deref(), Some("text/plain"));
        assert_eq!(field(&head, "Cache-Control").as_deref(), Some("no-store"));
        assert_eq!(field(&head, "Server"), None);
        assert_eq!(field(&head, "Allow").is_some(), code == 405, "{head}");
    }
    let (head, _) = role.raw(with("PUT", "/scep/a", "")).await;
    assert_eq!(field(&head, "Allow").as_deref(), Some("GET, POST"));
    let (head, _) = role.raw(with("POST", "/scep/a?operation=GetCACaps", "")).await;
    assert_eq!(field(&head, "Allow").as_deref(), Some("GET"));
}

#[tokio::test]
async fn messages_by_get_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let strict = EndpointDescription { get_pki_operation: false, ..endpoint("a") };
    let _signer = Signer::mirror(&socket, vec![strict]).await;
    let role = Role::start(socket).await;
    role.until("/scep/a?operation=GetCACaps", 200).await;
    let (head, _) = role.get("/scep/a?operation=PKIOperation&message=MAA=").await;
    assert_eq!((status(&head), field(&head, "Allow").as_deref()), (405, Some("POST")));
    assert_eq!(status(&role.post("/scep/a", &message(b"x")).await.0), 200);
}

#[tokio::test]
async fn the_signer_learns_endpoint_and_source() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _signer = Signer::start(&socket, vec![endpoint("a")], |request| {
        let Request::PkiOperation { endpoint, source, message } = request else { unreachable!() };
        assert_eq!(message, super::message(b"x"));
        Answer::Now(Response::CertRep(format!("{endpoint} {source}").into_bytes()))
    })
    .await;
    let role = Role::start(socket).await;
    role.until("/scep/a?operation=GetCACaps", 200).await;
    let (_, body) = role.post("/cgi-bin/pkiclient.exe", &message(b"x")).await;
    assert_eq!(String::from_utf8(body).unwrap(), "a 127.0.0.1");
}
