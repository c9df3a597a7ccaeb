//! A signer that is away, busy, silent, broken, or describes something else than before.

use super::*;

fn assert_later(head: &str, body: &[u8]) {
    assert_eq!(status(head), 503, "{head}");
    let seconds: u32 = field(head, "Retry-After").unwrap().parse().unwrap();
    assert!((1..=120).contains(&seconds), "{head}");
    assert_eq!(field(head, "Cache-Control").as_deref(), Some("no-store"));
    assert_eq!(field(head, "Content-Type").as_deref(), Some("text/plain"));
    let body = std::str::from_utf8(body).unwrap();
    assert_eq!(body, "the service is temporarily unavailable; try again later\n");
}

#[tokio::test]
async fn the_signer_comes_goes_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let role = Role::start(socket.clone()).await;
    // Nothing is known yet, not even which paths there are.
    for target in ["/scep/a?operation=GetCACaps", "/elsewhere"] {
        let (head, body) = role.get(target).await;
        assert_later(&head, &body);
    }
    let signer = Signer::mirror(&socket, vec![endpoint("a")]).await;
    role.until("/scep/a?operation=GetCACaps", 200).await;
    assert_eq!(status(&role.post("/scep/a", &message(b"x")).await.0), 200);

    signer.stop().await;
    let (head, body) = role.post("/scep/a", &message(b"x")).await;
    assert_later(&head, &body);
    for operation in ["GetCACaps", "GetCACert"] {
        let (head, _) = role.get(&format!("/scep/a?operation={operation}")).await;
        assert_eq!(status(&head), 200, "answered from the last description");
    }
    assert_eq!(status(&role.post("/scep/a", b"rubbish!").await.0), 400);

    // It comes back with another configuration.
    let moved = EndpointDescription { caps: b"AES\n".to_vec(), ..endpoint("c") };
    let _signer = Signer::mirror(&socket, vec![moved]).await;
    role.until("/scep/a?operation=GetCACaps", 404).await;
    let (head, body) = role.get("/scep/c?operation=GetCACaps").await;
    assert_eq!((status(&head), body.as_slice()), (200, b"AES\n".as_slice()));
    assert_eq!(status(&role.post("/scep/c", &message(b"x")).await.0), 200);
}

#[tokio::test]
async fn every_answer_of_the_signer_has_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let mut answers = vec![
        Answer::Now(Response::Busy { retry_after_seconds: 30 }),
        Answer::Now(Response::Busy { retry_after_seconds: 0 }),
        Answer::Now(Response::Unavailable("the token /dev/secret is gone".to_owned())),
        Answer::Never,
        Answer::Now(Response::Description {
            generation: 1,
            endpoints: Vec::new(),
            documents: Vec::new(),
        }),
        Answer::Now(Response::BadRequest("no such thing".to_owned())),
        Answer::Now(Response::UnknownEndpoint),
        Answer::Now(Response::CertRep(vec![1; <Request as wire::Exchange>::MAX_ANSWER])),
    ]
    .into_iter();
    let _signer = Signer::start(&socket, vec![endpoint("a")], move |_| {
        answers.next().unwrap_or_else(|| panic!("as asked"))
    })
    .await;
    let role = Role::start(socket).await;
    role.until("/scep/a?operation=GetCACaps", 200).await;

    let (head, body) = role.post("/scep/a", &message(b"x")).await;
    assert_later(&head, &body);
    let seconds: u32 = field(&head, "Retry-After").unwrap().parse().unwrap();
    assert!((30..60).contains(&seconds), "{seconds}");
    for _ in 0..4 {
        let (head, body) = role.post("/scep/a", &message(b"x")).await;
        assert_later(&head, &body);
    }
    let (head, body) = role.post("/scep/a", &message(b"x")).await;
    assert_eq!((status(&head), body.as_slice()), (400, b"no such thing\n".as_slice()));
    assert_eq!(status(&role.post("/scep/a", &message(b"x")).await.0), 404);
    // An answer over the protocol's limit, and a panic: ours, so not the client's fault.
    for _ in 0..2 {
        let (head, body) = role.post("/scep/a", &message(b"x")).await;
        assert_later(&head, &body);
    }
    assert_eq!(status(&role.get("/scep/a?operation=GetCACaps").await.0), 200);
}

#[tokio::test]
async fn a_signer_that_dies_in_a_request_costs_a_503() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let (tell, told) = oneshot::channel();
    let mut tell = Some(tell);
    let signer = Signer::start(&socket, vec![endpoint("a")], move |_| {
        let _ = tell.take().unwrap().send(());
        Answer::Never
    })
    .await;
    let role = Role::start(socket).await;
    role.until("/scep/a?operation=GetCACaps", 200).await;
    let dying = async {
        told.await.unwrap();
        signer.stop().await;
    };
    let message = message(b"x");
    let ((head, body), ()) = tokio::join!(role.post("/scep/a", &message), dying);
    assert_later(&head, &body);
}

#[tokio::test]
async fn refused_clients_are_spread() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let role = Role::start(socket).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        seen.insert(field(&role.get("/").await.0, "Retry-After").unwrap());
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}

#[tokio::test]
async fn without_an_address_nothing_starts() {
    let error = run(FrontendOptions::default(), |_| {}, pending()).await.unwrap_err();
    assert!(matches!(error, FrontendError::NoAddress), "{error}");
}

/// 200 clients at once, while the signer's answers are slow to come: everybody is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_at_once() {
    let (_folder, _signer, role) = mirrored().await;
    let role = Arc::new(role);
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..200_u8 {
        let role = Arc::clone(&role);
        clients.spawn(async move {
            let mut message = message(&[n]);
            let (head, body) = role.post("/scep/a", &message).await;
            message.reverse();
            assert_eq!((status(&head), body), (200, message));
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

/// Starts the role with that patience for the first description; what it tells, and its end.
fn telling(socket: PathBuf, patience: Duration) -> mpsc::UnboundedReceiver<(bool, SocketAddr)> {
    let (sender, told) = mpsc::unbounded_channel();
    let options = FrontendOptions {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        has_witnesses: false,
        signer_socket: socket,
        limits: FrontendLimits { first_description: patience, ..quick() },
        ..Default::default()
    };
    let tell = move |progress: Progress<'_>| {
        let (ready, addresses) = match progress {
            Progress::Watched(address) => panic!("metrics on {address} were not asked for"),
            Progress::Bound(addresses) => (false, addresses),
            Progress::Ready(addresses) => (true, addresses),
        };
        sender.send((ready, addresses[0])).unwrap();
    };
    tokio::spawn(run(options, tell, pending()));
    told
}

#[tokio::test]
async fn ready_means_that_the_endpoints_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let mut told = telling(socket.clone(), Duration::from_secs(30));
    let (ready, address) = told.recv().await.unwrap();
    assert!(!ready);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(told.try_recv().is_err(), "ready without a signer");
    let _signer = Signer::mirror(&socket, vec![endpoint("a")]).await;
    assert_eq!(told.recv().await.unwrap(), (true, address));
    let (stop, _) = oneshot::channel();
    let role = Role { address, _stop: stop };
    let (head, _) = role.get("/scep/a?operation=GetCACaps").await;
    assert_eq!(status(&head), 200, "the first request after the word");
}

#[tokio::test]
async fn a_frontend_alone_is_ready_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = telling(folder.path().join("socket"), Duration::from_millis(50));
    let (first, address) = told.recv().await.unwrap();
    let second = tokio::time::timeout(Duration::from_secs(5), told.recv()).await.expect("the word");
    assert_eq!((first, second.unwrap()), (false, (true, address)));
}
