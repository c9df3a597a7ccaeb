//! The HSM goes away and comes back while the service runs; the ledger's disk fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use softhsm_test::client::{Delivery, Device, Draft, Server, http};
use softhsm_test::instance::{Instance, Options, Service, chancery};

use crate::common::{Entry, good, granted, ledger};

/// The folder of SoftHSM's one token somewhere under `folder`.
pub fn token(folder: &Path) -> Option<PathBuf> {
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

/// Each is told to come back later.
#[track_caller]
fn turned_away(server: &Server, requests: [(&Device, &Draft); 3]) {
    for (device, draft) in requests {
        let answer = ask(server, device, draft);
        assert_eq!(answer.status, 503, "{}", answer.text());
        let wait: u32 = answer.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!(wait > 0);
    }
}

#[test]
fn row_084_without_its_ledger_it_says_503_and_signs_nothing() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    // The signal that comes with too long a file is ignored, so that the write itself fails.
    let mut command = Command::new("env");
    command.arg("--ignore-signal=XFSZ").arg(chancery().unwrap());
    command.args(["signer", "--config"]).arg(&instance.config).current_dir(instance.folder());
    let log = instance.folder().with_file_name("signer.log");
    let mut signer = Service::start(command, &log).unwrap();
    instance.start_role("frontend").unwrap();
    instance.wait_ready().unwrap();
    let server = instance.server().unwrap();
    let (before, old) = good(&instance, &server, "before");
    let certificate = granted(&instance, &server, &before, &old);

    let pid = Pid::from_raw(signer.pid().cast_signed()).unwrap();
    let full = Rlimit { current: Some(0), maximum: None };
    prlimit(Some(pid), Resource::Fsize, full).unwrap();
    let (device, draft) = good(&instance, &server, "meanwhile");
    turned_away(&server, [(&device, &draft), (&before, &old), (&device, &draft)]);
    assert_eq!(server.ask("GetCACaps", None).unwrap().status, 200);
    assert_eq!(server.ask("GetCACert", None).unwrap().status, 200);
    assert!(signer.ended().unwrap().is_none(), "it serves on:\n{}", signer.log());
    // A disk that failed once is not trusted again by the same run; the next one goes on.
    signer.kill().unwrap();
    instance.start_role("signer").unwrap();
    let start = Instant::now();
    while ask(&server, &device, &draft).status == 503 {
        assert!(start.elapsed() < Duration::from_secs(60), "not back:\n{}", instance.logs());
        std::thread::sleep(Duration::from_millis(100));
    }
    granted(&instance, &server, &device, &draft);
    assert_eq!(granted(&instance, &server, &before, &old), certificate);
    let entries = ledger(&instance);
    let count = |event: &str| entries.iter().filter(|e| e.event == event).count();
    assert_eq!(count("certificate"), 2, "what was refused was not signed");
    assert_eq!(count("reservation"), count("certificate") + count("abandoned"));
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
    turned_away(&server, [(&device, &draft), (&before, &old), (&device, &draft)]);
    // What needs no key is answered.
    assert_eq!(server.ask("GetCACaps", None).unwrap().status, 200);
    assert_eq!(server.ask("GetCACert", None).unwrap().status, 200);

    // What it says of its tokens, when the ledger says it.
    let told = |count: usize| {
        let start = Instant::now();
        loop {
            let all: Vec<_> = ledger(&instance).into_iter().filter(|e| e.event == "hsm").collect();
            if all.len() >= count {
                return all;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "not recorded");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    told(1);
    std::fs::rename(&away, &there).unwrap();
    let start = Instant::now();
    while ask(&server, &device, &draft).status == 503 {
        assert!(start.elapsed() < Duration::from_secs(30), "not back:\n{}", instance.logs());
        std::thread::sleep(Duration::from_millis(100));
    }
    granted(&instance, &server, &device, &draft);
    assert_eq!(granted(&instance, &server, &before, &old), certificate);
    let said = told(2);
    let of = |e: &Entry| (e.field("outcome").to_owned(), e.field("what").contains("away"));
    let expected = [("failure".to_owned(), true), ("success".to_owned(), false)];
    assert_eq!(said.iter().map(of).collect::<Vec<_>>(), expected);
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
