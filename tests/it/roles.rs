//! The roles apart: what each does when it loses the other, and who may start what.

use std::path::Path;
use std::time::{Duration, Instant};

use softhsm_test::client::{Delivery, Server};
use softhsm_test::instance::{Instance, Options};

use crate::common::{good, granted};

/// Tries again until the request is granted: the frontend reconnects in its own time.
fn granted_in_time(instance: &Instance, server: &Server) {
    let start = Instant::now();
    loop {
        let (device, draft) = good(instance, server, "after");
        let sent = draft.build(&device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
        match answer.status {
            200 => {
                server.read(&answer, &sent, &device).unwrap().certificate().unwrap();
                return;
            }
            503 => {}
            other => panic!("HTTP {other}: {}", answer.text()),
        }
        assert!(start.elapsed() < Duration::from_secs(30), "no reconnection:\n{}", instance.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_frontend_without_its_signer_says_503_and_reconnects() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.start_roles().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "before");
    let certificate = granted(&instance, &server, &device, &draft);
    for kill in [true, false] {
        let signer = instance.service("signer").unwrap();
        if kill {
            signer.kill().unwrap();
        } else {
            assert!(signer.stop().unwrap().success());
        }
        let sent = draft.build(&device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        let wait: u32 = answer.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!(wait > 0);
        // Rubbish still ends at the frontend.
        let answer = server.deliver(b"rubbish", &Delivery::Post(None)).unwrap();
        assert_eq!(answer.status, 400);
        instance.start_role("signer").unwrap();
        granted_in_time(&instance, &server);
        // I5 over a restart: the same request, the same certificate.
        assert_eq!(granted(&instance, &server, &device, &draft), certificate);
    }
}

#[test]
fn a_signer_without_its_frontend_forgets_nothing() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.start_roles().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "before");
    let certificate = granted(&instance, &server, &device, &draft);
    instance.service("frontend").unwrap().kill().unwrap();
    assert!(server.ask("GetCACaps", None).is_err());
    let shown = instance.ask(&["request", "show", &device.transaction_id(), "--pem"]).unwrap();
    assert!(shown.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    instance.start_role("frontend").unwrap();
    instance.wait_ready().unwrap();
    assert_eq!(granted(&instance, &server, &device, &draft), certificate);
}

#[test]
fn serve_starts_a_dead_child_again() {
    let instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    granted_in_time(&instance, &server);
    for role in ["signer", "frontend"] {
        let child = child_of(&instance, role);
        let pid = rustix::process::Pid::from_raw(child).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let start = Instant::now();
        while server.ask("GetCACaps", None).map_or(true, |a| a.status != 200) {
            assert!(start.elapsed() < Duration::from_secs(30), "{role}:\n{}", instance.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
        granted_in_time(&instance, &server);
        assert_ne!(child_of(&instance, role), child);
    }
}

/// The process ID of `chancery ROLE` with this instance's configuration.
fn child_of(instance: &Instance, role: &str) -> i32 {
    let config = instance.config.to_string_lossy().into_owned();
    let is_it = |pid: &i32| {
        let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"));
        let line = line.unwrap_or_default();
        let words: Vec<_> = line.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
        words.iter().any(|w| w == role) && words.iter().any(|w| *w == config)
    };
    let pids = std::fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.into_iter().find(is_it).unwrap_or_else(|| panic!("no {role} runs"))
}

#[test]
fn a_second_signer_is_refused() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.start_roles().unwrap();
    let output = instance.command(&["signer"]).unwrap();
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    let server = instance.server().unwrap();
    granted_in_time(&instance, &server);
}

#[test]
fn serve_is_for_laboratories() {
    let instance = Instance::create(&Options::default()).unwrap();
    instance.configure(|text| text.replace("lab = true", "lab = false")).unwrap();
    let output = instance.command(&["serve"]).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("lab"), "{output:?}");
}

#[test]
fn t25_the_frontend_holds_no_module_pin_or_ledger() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.start_roles().unwrap();
    let server = instance.server().unwrap();
    granted_in_time(&instance, &server);
    let pid = instance.service("frontend").unwrap().pid();
    let proc = Path::new("/proc").join(pid.to_string());
    let maps = std::fs::read_to_string(proc.join("maps")).unwrap();
    assert!(
        maps.contains("chancery") && !maps.contains("softhsm"),
        "the frontend loads the module"
    );
    let files = std::fs::read_dir(proc.join("fd")).unwrap();
    for file in files.filter_map(|f| std::fs::read_link(f.unwrap().path()).ok()) {
        let file = file.to_string_lossy();
        assert!(!file.contains("ledger") && !file.contains("tokens"), "{file} is open");
    }
}

#[test]
fn a_user_that_the_host_does_not_have_is_named_with_its_key() {
    let instance = Instance::create(&Options::default()).unwrap();
    let told = |key: &str| {
        let output = instance.command(&["config", "check"]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(8), "{said}");
        assert!(said.contains(key) && said.contains("no user \"nobody-here\""), "{said}");
    };
    let roles = "[roles]\nauditor = [\"nobody-here\"]\n";
    instance.configure(|text| text.replace("[signer]\n", &format!("{roles}[signer]\n"))).unwrap();
    told("roles.auditor[0]");
    let frontend = "[signer]\nfrontend_user = \"nobody-here\"\n";
    instance.configure(|text| text.replace(roles, "").replace("[signer]\n", frontend)).unwrap();
    told("signer.frontend_user");
}
