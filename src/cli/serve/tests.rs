//! The supervision of real processes: shell scripts that stand in for the roles.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};

use super::child::Launch;
use super::supervise::{Plan, supervise};

/// A role of a script. It appends what it does to `events`.
fn launch(role: &'static str, folder: &Path, script: &str) -> Launch {
    let events = folder.join("events");
    let text = format!(
        "say() {{ echo \"{role} $1\" >> {events}; }}\n\
         trap 'say stopped; exit 0' TERM\nsay started\n{script}\n",
        events = events.display()
    );
    Launch { role, program: "/bin/sh".into(), arguments: vec!["-c".into(), text.into()] }
}

const SERVE: &str = "while :; do sleep 0.02; done";

fn plan(folder: &Path, signer: &str, frontend: &str) -> Plan {
    Plan {
        signer: launch("signer", folder, signer),
        frontend: launch("frontend", folder, frontend),
        notify_dir: folder.to_owned(),
        start_limit: Duration::from_secs(10),
        stop_limit: Duration::from_secs(5),
        first_pause: Duration::from_millis(10),
    }
}

/// Says READY for each role once its process has said that it started, as the role itself would.
struct Herald {
    done: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Herald {
    fn start(folder: &Path) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (flag, folder) = (Arc::clone(&done), folder.to_owned());
        let thread = thread::spawn(move || {
            let socket = UnixDatagram::unbound().unwrap();
            let mut told = 0;
            while !flag.load(Ordering::Relaxed) {
                let started: Vec<String> =
                    events(&folder).into_iter().filter(|e| e.ends_with("started")).collect();
                if let Some(event) = started.get(told) {
                    let role = event.split(' ').next().unwrap();
                    let path = folder.join(format!(".{role}.notify"));
                    let message = b"READY=1\nX_CHANCERY_LISTEN=127.0.0.1:8080\n";
                    if socket.send_to(message, path).is_ok() {
                        told += 1;
                    }
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self { done, thread: Some(thread) }
    }
}

impl Drop for Herald {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn events(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("events")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Signals go to the whole process: one test at a time.
static SIGNALS: Mutex<()> = Mutex::new(());

#[test]
fn starts_in_order_restarts_what_dies_and_stops_in_order() {
    let _alone = SIGNALS.lock();
    let folder = tempfile::tempdir().unwrap();
    let _herald = Herald::start(folder.path());
    // The first signer is killed once the frontend serves; the next one stays.
    let plan =
        plan(folder.path(), &format!("echo $$ > {}/pid; {SERVE}", folder.path().display()), SERVE);
    let mut addresses = Vec::new();
    let path = folder.path().to_owned();
    let killer = thread::spawn({
        let path = path.clone();
        move || {
            wait(|| events(&path).contains(&"frontend started".to_owned()));
            let pid: i32 = fs::read_to_string(path.join("pid")).unwrap().trim().parse().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
            wait(|| events(&path).iter().filter(|e| *e == "signer started").count() == 2);
            kill_process(getpid(), Signal::TERM).unwrap();
        }
    });
    let result = block_on(supervise(&plan, |listen| {
        addresses.push(listen.to_vec());
        Ok(())
    }));
    killer.join().unwrap();
    result.unwrap();
    assert_eq!(addresses, [["127.0.0.1:8080".parse().unwrap()]]);
    let seen = events(&path);
    let wanted = [
        "signer started",
        "frontend started",
        "signer started",
        "frontend stopped",
        "signer stopped",
    ];
    assert_eq!(seen, wanted);
    let left: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "no socket is left behind: {left:?}");
}

fn wait(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "it does not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_role_that_cannot_start_ends_everything_with_its_status() {
    let _alone = SIGNALS.lock();
    let folder = tempfile::tempdir().unwrap();
    let _herald = Herald::start(folder.path());
    let plan = plan(folder.path(), SERVE, "sleep 0.1; exit 8");
    // Its readiness is never told.
    let frontend = Launch { role: "other", ..plan.frontend.clone() };
    let failure = block_on(supervise(&Plan { frontend, ..plan }, |_| Ok(()))).unwrap_err();
    assert_eq!(failure.exit().code(), 8, "{failure}");
    assert_eq!(events(folder.path()), ["signer started", "frontend started", "signer stopped"]);
}

#[test]
fn a_role_that_does_not_stop_is_killed_and_told_of() {
    let _alone = SIGNALS.lock();
    let folder = tempfile::tempdir().unwrap();
    let _herald = Herald::start(folder.path());
    let mut plan = plan(folder.path(), SERVE, &format!("trap '' TERM; {SERVE}"));
    plan.stop_limit = Duration::from_millis(300);
    let failure = block_on(supervise(&plan, |_| {
        kill_process(getpid(), Signal::INT).unwrap();
        Ok(())
    }));
    assert!(failure.unwrap_err().to_string().contains("was killed"));
    assert_eq!(events(folder.path()), ["signer started", "frontend started", "signer stopped"]);
}
