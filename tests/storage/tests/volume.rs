//! The disk under a real file system does what a power cut does: what was fsynced is there, and what
//! was not need not be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use powercut_disk::{Fault, Kind, Survivors, Volume, missing};

/// A volume; a machine that has none fails the test with what it lacks.
fn volume(kind: Kind, folder: &Path) -> Volume {
    if let Some(why) = missing(kind) {
        panic!("power cuts cannot be played here: {why}");
    }
    Volume::create(kind, folder).unwrap()
}

#[test]
#[ignore = "needs root, FUSE and loop devices: make powercut"]
fn what_was_fsynced_survives_and_the_rest_need_not() {
    for kind in [Kind::Ext4, Kind::Xfs] {
        let folder = tempfile::tempdir().unwrap();
        let mut volume = volume(kind, folder.path());
        let (kept, lost) = (folder.path().join("kept"), folder.path().join("lost"));
        let mut file = File::create(&kept).unwrap();
        file.write_all(b"kept").unwrap();
        file.sync_all().unwrap();
        File::open(folder.path()).unwrap().sync_all().unwrap();
        fs::write(&lost, b"lost").unwrap();
        volume.disk.cut_after(0);
        assert!(volume.disk.wait_for_cut(Duration::ZERO));
        file.write_all(b"late").unwrap();
        file.sync_all().unwrap_err();
        drop(file);
        volume.unmount().unwrap();
        volume.disk.power_on(Survivors::None, &mut fastrand::Rng::new());
        volume.mount().unwrap();
        assert_eq!(fs::read(&kept).unwrap(), b"kept", "{kind:?}");
        assert!(!lost.exists(), "{kind:?}");
    }
}

#[test]
#[ignore = "needs root, FUSE and loop devices: make powercut"]
fn a_fault_is_seen_by_fsync() {
    for fault in [Fault::Write, Fault::Flush] {
        let folder = tempfile::tempdir().unwrap();
        let volume = volume(Kind::Ext4, folder.path());
        let mut file = File::create(folder.path().join("file")).unwrap();
        file.sync_all().unwrap();
        volume.disk.set_fault(Some(fault));
        file.write_all(b"content").unwrap();
        assert_eq!(file.sync_all().unwrap_err().raw_os_error(), Some(5), "{fault:?}");
    }
}
