//! Whatever is sent: an answer that blames the right side, and the service goes on.

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;

/// One role for all cases.
static SHARED: LazyLock<(Runtime, tempfile::TempDir, Role)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let (folder, signer, role) = runtime.block_on(mirrored());
    // It serves until the process ends.
    std::mem::forget(signer);
    (runtime, folder, role)
});

/// Sends bytes; the status where there is an answer.
async fn answered(role: &Role, bytes: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(role.address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(8), read).await.expect("closed");
    (!answer.is_empty()).then(|| status(&String::from_utf8_lossy(&answer)))
}

fn request_line() -> impl Strategy<Value = String> {
    let method = prop::sample::select(vec!["GET", "POST", "HEAD", "PUT", "TRACE", "get", "\u{1}"]);
    let path = prop_oneof![
        Just("/scep/a".to_owned()),
        Just("/cgi-bin/pkiclient.exe".to_owned()),
        "/[a-z%/.]{0,20}",
        "[!-~]{1,20}",
    ];
    let operation = prop_oneof![
        Just("?operation=PKIOperation&message=".to_owned()),
        Just("?operation=GetCACaps&message=".to_owned()),
        "[?&=a-zA-Z%0-9+]{0,40}",
    ];
    (method, path, operation, "[A-Za-z0-9+/=%]{0,100}").prop_map(
        |(method, path, operation, message)| {
            format!("{method} {path}{operation}{message} HTTP/1.1\r\n")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_request_is_answered_below_500(
        line in request_line(),
        body in prop::collection::vec(any::<u8>(), 0..200),
        claimed in prop::option::of(0_usize..300),
    ) {
        let (runtime, _, role) = &*SHARED;
        let length = claimed.unwrap_or(body.len());
        let head = format!("{line}Host: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        let bytes = [head.as_bytes(), &body].concat();
        let status = runtime.block_on(answered(role, &bytes));
        prop_assert!(status.is_none_or(|code| (200..500).contains(&code)), "{status:?}");
    }

    #[test]
    fn any_bytes_are_answered_below_500(bytes in prop::collection::vec(any::<u8>(), 1..400)) {
        let (runtime, _, role) = &*SHARED;
        let status = runtime.block_on(answered(role, &bytes));
        prop_assert!(status.is_none_or(|code| (200..500).contains(&code)), "{status:?}");
    }

    #[test]
    fn a_spoilt_message_is_answered_below_500(
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (runtime, _, role) = &*SHARED;
        let mut message = message(b"content");
        let at = at.index(message.len());
        message[at] ^= 1 << bit;
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len()));
        }
        let (head, _) = runtime.block_on(role.post("/scep/a", &message));
        prop_assert!([200, 400].contains(&status(&head)), "{head}");
        let (head, _) = runtime.block_on(role.get("/scep/a?operation=GetCACaps"));
        prop_assert_eq!(status(&head), 200);
    }
}
