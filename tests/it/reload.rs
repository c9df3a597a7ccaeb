//! `chancery reload` and SIGHUP: what changes without a restart, and what changes nothing (I9).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use softhsm_test::client::{Delivery, Server};
use softhsm_test::instance::{Instance, Options};

use crate::common::{good, granted, ledger};

/// What the log says of a configuration that is refused.
const STAYS: &str = "the one before stays in force";

/// Roles in processes of their own.
fn started() -> (Instance, Server) {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.start_roles().unwrap();
    let server = instance.server().unwrap();
    (instance, server)
}

/// Days from notBefore to notAfter of a new certificate.
fn validity(instance: &Instance, server: &Server, name: &str) -> i32 {
    let (device, draft) = good(instance, server, name);
    let der = granted(instance, server, &device, &draft).der;
    let certificate = openssl::x509::X509::from_der(&der).unwrap();
    let between = certificate.not_before().diff(certificate.not_after()).unwrap();
    between.days
}

fn until(what: &str, instance: &Instance, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}:\n{}", instance.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Replaces the profile's validity, whatever it is.
fn set_validity(instance: &Instance, days: u32) {
    let edit = |text: String| {
        let line = |line: &str| match line.starts_with("validity") {
            true => format!("validity = \"{days}d\""),
            false => line.to_owned(),
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
    };
    instance.configure(edit).unwrap();
}

#[test]
fn another_profile_takes_effect_and_no_request_is_lost() {
    let (instance, server) = started();
    set_validity(&instance, 20);
    instance.ask(&["reload"]).unwrap();
    assert_eq!(validity(&instance, &server, "before"), 20);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = |worker: u32| {
            let (instance, server, done) = (&instance, &server, &done);
            move || {
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    let (device, draft) = good(instance, server, &format!("load-{worker}-{count}"));
                    granted(instance, server, &device, &draft);
                    count += 1;
                }
                count
            }
        };
        let workers: Vec<_> = (0..3).map(|worker| scope.spawn(load(worker))).collect();
        for days in [30, 40, 50, 60] {
            set_validity(&instance, days);
            let said = instance.ask(&["reload", "--json"]).unwrap();
            let said: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!(said["changed"], serde_json::json!(["profile.device.validity"]));
            let found = validity(&instance, &server, &format!("at-{days}"));
            assert_eq!(u32::try_from(found).unwrap(), days, "it holds for what comes after");
        }
        done.store(true, Ordering::Relaxed);
        let sent: u32 = workers.into_iter().map(|w| w.join().expect("no request is lost")).sum();
        assert!(sent > 0);
    });
    let entries = ledger(&instance);
    let loaded: Vec<_> = entries.iter().filter(|e| e.event == "config-loaded").collect();
    assert_eq!(loaded.len(), 6, "the start and five reloads");
    for pair in loaded.windows(2) {
        assert_eq!(pair[1].field("replaces"), pair[0].field("digest"));
        assert!(pair[1].field("summary").contains("profile.device.validity"));
        assert!(pair[1].field("actor").starts_with("uid "));
    }
    let said = instance.ask(&["reload"]).unwrap();
    assert!(said.contains("no setting changed"), "{said}");
}

#[test]
fn a_path_and_a_limit_reach_the_frontend() {
    let (mut instance, server) = started();
    instance
        .configure(|text| {
            let text = text.replace("/cgi-bin/pkiclient.exe", "/another");
            text.replace("[frontend]", "[frontend]\nmax_message = 5000")
        })
        .unwrap();
    let asked = instance.ask(&["reload"]).unwrap();
    assert!(asked.contains("endpoint.device.aliases"), "{asked}");
    let mut other = server.clone();
    other.url.path = "/another".into();
    until("the new path", &instance, || {
        other.ask("GetCACaps", None).is_ok_and(|answer| answer.status == 200)
    });
    until("the new limit", &instance, || {
        let answer = server.deliver(&[0; 6000], &Delivery::Post(None)).unwrap();
        answer.status == 413
    });
    // The frontend alone, by its signal; its unit sends it.
    instance.configure(|text| text.replace("max_message = 5000", "max_message = 9000")).unwrap();
    let pid = instance.service("frontend").unwrap().pid().to_string();
    instance.ask(&["reload", "--frontend", &pid]).unwrap();
    until("the frontend's own reload", &instance, || {
        let answer = server.deliver(&[0; 6000], &Delivery::Post(None)).unwrap();
        answer.status == 400
    });
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let (mut instance, server) = started();
    let before = validity(&instance, &server, "before");
    let good_text = std::fs::read_to_string(&instance.config).unwrap();
    let (line, _) =
        good_text.lines().enumerate().find(|(_, l)| *l == "[profile.device]").expect("the profile");
    let bad = good_text.replace("[profile.device]", "[profile.device]\nvalidty = \"1d\"");
    instance.configure(|_| bad).unwrap();
    let refused = instance.command(&["reload"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(8), "{said}");
    let place = format!("{}:{}:", instance.config.display(), line + 2);
    assert!(said.contains(&place), "{place} is not in {said}");
    assert!(said.contains("profile.device.validty") && said.contains("\"validity\""), "{said}");
    assert!(said.contains("the configuration before stays in force"), "{said}");
    assert_eq!(validity(&instance, &server, "after"), before);
    assert!(instance.ask(&["status"]).is_err(), "commands need a good file");

    // A file that is no TOML at all; the socket is found in what can be read.
    instance.configure(|_| format!("{good_text}\n= rubbish\n")).unwrap();
    let refused = instance.command(&["reload", "--json"]).unwrap();
    assert_eq!(refused.status.code(), Some(8));
    let said: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(said["good"], false);
    assert!(said["errors"][0]["problem"].as_str().unwrap().contains("TOML"), "{said}");

    // What needs a new start.
    let restart = good_text.replace("[signer]", "[signer]\nqueue = 77");
    instance.configure(|_| restart).unwrap();
    let refused = instance.command(&["reload"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(8), "{said}");
    assert!(said.contains("signer.queue") && said.contains("restart"), "{said}");

    // The signal does the same and says so in the log.
    assert_eq!(instance.logs().matches(STAYS).count(), 3, "{}", instance.logs());
    let signer = instance.service("signer").unwrap();
    signer.signal(Signal::HUP).unwrap();
    until("the signal", &instance, || instance.logs().matches(STAYS).count() == 4);
    instance.configure(|text| text.replace("queue = 77", "")).unwrap();
    let entries = ledger(&instance);
    let failures =
        entries.iter().filter(|e| e.event == "command" && e.field("outcome") == "failure");
    let failures: Vec<_> = failures.collect();
    assert_eq!(failures.len(), 4);
    assert!(failures[2].field("change").contains("signer.queue"), "who asked is told apart:");
    assert!(
        failures[2].field("actor").starts_with("uid ") && failures[3].field("actor") == "system"
    );
    let metrics = instance.ask(&["metrics"]).unwrap();
    assert!(metrics.contains("chancery_config_reload_failures_total 4"), "{metrics}");
    instance.ask(&["reload"]).unwrap();
    let status = instance.ask(&["status"]).unwrap();
    assert!(!status.contains("was refused"), "{status}");
}
