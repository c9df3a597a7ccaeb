//! The HSM goes away and comes back while the service runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use softhsm_test::client::{Delivery, Device, Draft, Server, http};
use softhsm_test::instance::Instance;

use crate::common::{good, granted, ledger};

/// The folder of SoftHSM's one token somewhere under `folder`.
fn token(folder: &Path) -> Option<PathBuf> {
    if folder.join("token.object").is_file() {
        return Some(folder.to_path_buf());
    }
    let folders = std::fs::read_dir(folder).ok()?.filter_map(|e| Some(e.ok()?.path()));
    folders.filter(|p| p.is_dir()).find_map(|p| token(&p))
}

fn ask(server: &Server, device: &Device, draft: &Draft) -> http::Response {
    let sent = draft.build(device).unwrap();
    server.deliver(&sent.body, &Delivery::Post(None)).unwrap()
}

#[test]
fn row_084_without_its_hsm_it_says_503_and_comes_back_by_itself() {
    let mut instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    let (before, old) = good(&instance, &server, "before");
    let certificate = granted(&instance, &server, &before, &old);
    let there = token(instance.folder()).expect("a token");
    let away = instance.folder().join("away");
    std::fs::rename(&there, &away).unwrap();

    let (device, draft) = good(&instance, &server, "meanwhile");
    for (device, draft) in [(&device, &draft), (&before, &old), (&device, &draft)] {
        let answer = ask(&server, device, draft);
        assert_eq!(answer.status, 503, "{}", answer.text());
        let wait: u32 = answer.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!(wait > 0);
    }
    // What needs no key is answered.
    assert_eq!(server.ask("GetCACaps", None).unwrap().status, 200);
    assert_eq!(server.ask("GetCACert", None).unwrap().status, 200);

    std::fs::rename(&away, &there).unwrap();
    let start = Instant::now();
    while ask(&server, &device, &draft).status == 503 {
        assert!(start.elapsed() < Duration::from_secs(30), "not back:\n{}", instance.logs());
        std::thread::sleep(Duration::from_millis(100));
    }
    granted(&instance, &server, &device, &draft);
    assert_eq!(granted(&instance, &server, &before, &old), certificate);
    let entries = ledger(&instance);
    let count = |event: &str| entries.iter().filter(|e| e.event == event).count();
    assert_eq!(
        (count("certificate"), count("start")),
        (2, 1),
        "the same run, one certificate each"
    );
    assert_eq!(count("reservation"), count("certificate") + count("abandoned"));
    let statuses = instance.stop().unwrap();
    assert!(statuses.iter().all(|s| s.success()), "{statuses:?}");
}
