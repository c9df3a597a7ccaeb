//! A disk that fails under the running service (I10): no signature leaves, everybody is told why, lists
//! and status are served on, and a restart on a disk that works again goes on where it was.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use powercut_disk::{Fault, Kind, Survivors};
use softhsm_test::client::http::{self, Request};
use softhsm_test::client::{Delivery, Device, Draft, Parts, Server};

use crate::common::{copy_folder, good, granted, run};
use crate::powercut::{Lab, kinds, retried, verify};

/// A lab that serves, with one device enrolled and another one that waits.
struct Scene {
    lab: Lab,
    server: Server,
    first: (Device, Draft, Parts),
    second: (Device, Draft),
    crl: Vec<u8>,
}

impl Scene {
    fn new(kind: Kind) -> Self {
        let mut lab = Lab::new(kind);
        lab.instance.start_roles().unwrap();
        let server = lab.instance.server().unwrap();
        let (device, draft) = good(&lab.instance, &server, "first");
        let certificate = granted(&lab.instance, &server, &device, &draft);
        let second = good(&lab.instance, &server, "second");
        let crl = get(&server, "/crl/issuing.crl");
        Self { lab, server, first: (device, draft, certificate), second, crl }
    }

    fn journal(&self) -> PathBuf {
        let folder = self.lab.instance.folder().join("state/ledger/journal");
        fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.lab.instance.ask(&["status", "--json"]).unwrap()).unwrap()
    }

    /// Nobody gets a certificate or a signed answer, and `why` stands in the log and the status. Lists
    /// and certificates are served as before.
    #[track_caller]
    fn signs_nothing(&self, why: &str) {
        let (device, draft) = &self.second;
        for _ in 0..3 {
            let sent = draft.build(device).unwrap();
            let answer = self.server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            let kind = answer.header("content-type").unwrap_or_default();
            assert!(kind.starts_with("text/plain"), "{kind}");
        }
        let log = self.lab.instance.logs();
        assert!(log.contains(why), "the log does not say {why:?}:\n{log}");
        let status = self.status();
        let warnings = status["warnings"].to_string();
        assert!(warnings.contains("the ledger takes no entries"), "{status}");
        assert!(warnings.contains(why), "{status}");
        assert_eq!(get(&self.server, "/crl/issuing.crl"), self.crl);
        assert!(self.lab.instance.server().is_ok(), "GetCACert is not answered");
    }

    /// What was acknowledged before is the same, what was refused is granted, the ledger is good.
    #[track_caller]
    fn goes_on(mut self) {
        self.lab.instance.start_roles().unwrap();
        let server = self.lab.instance.server().unwrap();
        assert!(self.status()["maintenance"].is_null(), "{}", self.status());
        let (device, draft, first) = &self.first;
        assert_eq!(&retried(&server, device, draft).unwrap(), first);
        let second = retried(&server, &self.second.0, &self.second.1).unwrap();
        verify(&self.lab.instance, &[first.clone(), second]).unwrap();
        let statuses = self.lab.instance.stop().unwrap();
        assert!(statuses.iter().all(|s| s.success()), "{statuses:?}");
    }

    /// The operator stops the service on the bad disk and mounts a good one. What the failed disk had
    /// in its cache is lost with it.
    fn replace_disk(&mut self) {
        // It cannot end in order: its last entry has no place to go.
        self.lab.instance.stop().unwrap();
        self.lab.volume.unmount().unwrap();
        self.lab.volume.disk.power_on(Survivors::None, &mut fastrand::Rng::new());
        self.lab.volume.mount().unwrap();
    }
}

/// The body of what is there to get.
#[track_caller]
fn get(server: &Server, path: &str) -> Vec<u8> {
    let answer = http::send(&server.url, &Request::get(path)).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.body
}

#[test]
#[ignore = "needs root, FUSE and a loop device: make powercut"]
fn a_write_or_a_flush_that_fails_is_the_last() {
    for kind in kinds() {
        for fault in [Fault::Write, Fault::Flush] {
            let mut scene = Scene::new(kind);
            scene.lab.volume.disk.set_fault(Some(fault));
            scene.signs_nothing("Input/output error");
            let operations = || scene.status()["tokens"][0]["operations"].clone();
            let before = operations();
            // The disk works again, but what it holds is unknown: only a start looks.
            scene.lab.volume.disk.set_fault(None);
            scene.signs_nothing("Input/output error");
            assert_eq!(operations(), before, "{kind:?}, {fault:?}: the HSM was used");
            scene.replace_disk();
            scene.goes_on();
        }
    }
}

#[test]
#[ignore = "needs root, FUSE and a loop device: make powercut"]
fn a_file_system_that_turns_read_only_stops_the_service() {
    let mut scene = Scene::new(Kind::Ext4);
    scene.lab.volume.turn_read_only().unwrap();
    scene.signs_nothing("Read-only file system");
    scene.replace_disk();
    scene.goes_on();
}

#[test]
#[ignore = "needs root, FUSE and a loop device: make powercut"]
fn a_full_disk_refuses_and_room_is_enough_to_go_on() {
    for kind in kinds() {
        let mut scene = Scene::new(kind);
        let ballast = scene.lab.instance.folder().join("state/ballast");
        let folder = scene.lab.instance.folder().join("state");
        // To the last octet: what the ledger keeps free for itself is gone, too.
        let free = rustix::fs::statvfs(&folder).unwrap();
        let bytes = free.f_bavail * free.f_frsize;
        let length = (bytes - (1 << 20)).to_string();
        run(Command::new("fallocate").args(["-l", &length]).arg(&ballast));
        scene.signs_nothing("free some space");

        // A restart on the full disk says so, and does not begin.
        scene.lab.instance.stop().unwrap();
        scene.lab.instance.start_role("signer").unwrap();
        let signer = scene.lab.instance.service("signer").unwrap();
        let ended = signer.wait(std::time::Duration::from_secs(60)).unwrap();
        assert_eq!(ended.code(), Some(1));
        assert!(signer.log().contains("free some space"), "{}", signer.log());

        fs::remove_file(&ballast).unwrap();
        scene.goes_on();
    }
}

#[test]
#[ignore = "needs root, FUSE and a loop device: make powercut"]
fn room_on_a_full_disk_is_enough_without_a_restart() {
    let mut scene = Scene::new(Kind::Ext4);
    let ballast = scene.lab.instance.folder().join("state/ballast");
    run(Command::new("fallocate").args(["-l", "800M"]).arg(&ballast));
    scene.signs_nothing("free some space");
    fs::remove_file(&ballast).unwrap();
    let (device, draft) = &scene.second;
    granted(&scene.lab.instance, &scene.server, device, draft);
    scene.lab.instance.stop().unwrap();
    scene.goes_on();
}

/// A deleted file takes every write, and forgets them with the process.
#[test]
#[ignore = "needs root, FUSE and a loop device: make powercut"]
fn a_journal_that_is_deleted_or_exchanged_takes_no_entry() {
    for what in ["the file", "the file, exchanged", "the whole ledger"] {
        let mut scene = Scene::new(Kind::Ext4);
        let (journal, kept) = (scene.journal(), scene.lab.instance.folder().join("kept"));
        let ledger = scene.lab.instance.folder().join("state/ledger");
        copy_folder(&ledger, &kept);
        let copy = kept.join("journal").join(journal.file_name().unwrap());
        let why = match what {
            "the whole ledger" => {
                fs::remove_dir_all(&ledger).unwrap();
                "state/ledger: No such file or directory"
            }
            _ => {
                fs::remove_file(&journal).unwrap();
                "deleted or exchanged"
            }
        };
        let exchanged = what.ends_with("exchanged");
        if exchanged {
            fs::copy(&copy, &journal).unwrap();
        }
        scene.signs_nothing(why);
        scene.lab.instance.stop().unwrap();
        if !exchanged {
            scene.lab.instance.start_roles().unwrap();
            let why = scene.status()["maintenance"].to_string();
            assert!(why.contains("knows"), "a start without {what}: {why}");
            scene.lab.instance.stop().unwrap();
            fs::remove_dir_all(&ledger).unwrap();
            copy_folder(&kept, &ledger);
        }
        scene.goes_on();
    }
}

/// What can be made from the journal, or is written with every checkpoint, may go at any time.
#[test]
#[ignore = "needs root, FUSE and a loop device: make powercut"]
fn indexes_hashes_and_heads_that_are_deleted_are_made_anew() {
    let mut scene = Scene::new(Kind::Ext4);
    let ledger = scene.lab.instance.folder().join("state/ledger");
    for folder in ["db", "tree"] {
        fs::remove_dir_all(ledger.join(folder)).unwrap();
    }
    let heads = [ledger.join("checkpoint"), ledger.with_file_name("ledger-anchor")];
    for head in &heads {
        fs::remove_file(head).unwrap();
    }
    let (device, draft) = &scene.second;
    granted(&scene.lab.instance, &scene.server, device, draft);
    scene.lab.instance.stop().unwrap();
    let [checkpoint, anchor] = heads.map(|head| fs::read_to_string(head).unwrap());
    assert_eq!(checkpoint, anchor);
    scene.goes_on();
}
