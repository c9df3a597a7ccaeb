//! The operators' roles: the kernel says who asks, and the table what he may.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use softhsm_test::instance::{Instance, Options};

use crate::common::{Entry, good, granted, ledger, serial};

/// A user of every Debian host, by name and uid.
const SOMEBODY: (&str, &str) = ("games", "5");

/// Runs `chancery` as another user, from a copy that he may read.
fn as_somebody(folder: &std::path::Path, arguments: &[&str]) -> Output {
    let (_, uid) = SOMEBODY;
    Command::new("setpriv")
        .args(["--reuid", uid, "--clear-groups"])
        .arg(folder.join("chancery"))
        .args(arguments)
        .arg("--config")
        .arg(folder.join("chancery.toml"))
        .output()
        .unwrap()
}

/// An instance whose admin socket others can reach, and the folder with what they need.
fn with_role(role: &str) -> (Instance, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let mut instance = Instance::create(&Options::default()).unwrap();
    let socket = folder.path().join("admin.sock");
    let (user, _) = SOMEBODY;
    instance
        .configure(|text| {
            let line = text.lines().find(|l| l.starts_with("admin_socket")).unwrap();
            let text = text.replace(line, &format!("admin_socket = \"{}\"", socket.display()));
            format!("{text}\n[roles]\n{role} = [\"{user}\"]\n")
        })
        .unwrap();
    instance.start().unwrap();
    let chancery = softhsm_test::instance::chancery().unwrap();
    fs::copy(chancery, folder.path().join("chancery")).unwrap();
    fs::copy(&instance.config, folder.path().join("chancery.toml")).unwrap();
    fs::set_permissions(folder.path().join("chancery.toml"), Permissions::from_mode(0o644))
        .unwrap();
    (instance, folder)
}

/// Only root can become somebody else; CI and the packages' tests run as root.
fn is_root() -> bool {
    let is = rustix::process::geteuid().is_root();
    if !is {
        eprintln!("not root: nobody else can be played, so this looked at nothing");
    }
    is
}

#[test]
fn t47_t59_an_auditor_looks_and_an_attempt_at_more_is_recorded() {
    if !is_root() {
        return;
    }
    let (instance, folder) = with_role("auditor");
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "audited");
    let number = serial(&granted(&instance, &server, &device, &draft));
    for allowed in [&["status"][..], &["ledger", "list"], &["cert", "show", &number], &["metrics"]]
    {
        let output = as_somebody(folder.path(), allowed);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{allowed:?}: {said}");
    }
    let revoke = ["cert", "revoke", &number, "--reason", "superseded", "--yes"];
    for refused in [&revoke[..], &["crl", "now"], &["challenge", "issue", "device"]] {
        let output = as_somebody(folder.path(), refused);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{refused:?}: {said}");
        assert!(said.contains("roles"), "{said}");
    }
    // What it would do, he may see; that he asked is recorded as well.
    let preview = [&revoke[..revoke.len() - 1], &["--dry-run"]].concat();
    let shown = as_somebody(folder.path(), &preview);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let entries = ledger(&instance);
    let attempts: Vec<_> = entries.iter().filter(|e| e.event == "command").collect();
    assert_eq!(attempts.len(), 4);
    for attempt in &attempts[..3] {
        assert_eq!(attempt.field("actor"), format!("uid {}", SOMEBODY.1));
        assert_eq!(attempt.field("outcome"), "failure");
    }
    assert_eq!(attempts[0].field("object"), number);
    let shown = attempts[3];
    assert_eq!((shown.field("outcome"), shown.field("dry run")), ("success", "true"));
    assert_eq!((shown.field("command"), shown.field("object")), ("cert revoke", &*number));
    assert_eq!(entries.iter().filter(|e| e.event == "revocation").count(), 0);

    // Who had which role when stands in the ledger.
    let changes = |instance: &Instance| {
        let all = ledger(instance).into_iter().filter(|e| e.event == "role");
        let of = |e: Entry| ["subject", "role", "granted"].map(|name| e.field(name).to_owned());
        all.map(of).collect::<Vec<_>>()
    };
    let change = |role: &str, granted: &str| [SOMEBODY.0, role, granted].map(str::to_owned);
    assert_eq!(changes(&instance), [change("auditor", "true")]);
    let other = |text: String| text.replace("\nauditor = [", "\nra_officer = [");
    instance.configure(other).unwrap();
    instance.ask(&["reload"]).unwrap();
    let all = [change("auditor", "true"), change("auditor", "false"), change("ra_officer", "true")];
    assert_eq!(changes(&instance), all);
    instance.ask(&["reload"]).unwrap();
    assert_eq!(changes(&instance), all, "nothing has changed");
}

#[test]
fn an_officer_is_the_actor_of_what_he_does() {
    if !is_root() {
        return;
    }
    let (instance, folder) = with_role("ra_officer");
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "handled");
    let number = serial(&granted(&instance, &server, &device, &draft));
    let revoke = ["cert", "revoke", &number, "--reason", "superseded", "--yes"];
    let output = as_somebody(folder.path(), &revoke);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let entries = ledger(&instance);
    let revocation = entries.iter().find(|e| e.event == "revocation").expect("the revocation");
    assert_eq!(revocation.field("actor"), format!("uid {}", SOMEBODY.1));
    let output = as_somebody(folder.path(), &["crl", "now"]);
    assert_eq!(output.status.code(), Some(5));

    // Each command that discloses or does something without an event of its own, and each that comes to
    // nothing, is an entry: who, from where, what, why.
    let nowhere = folder.path().join("missing/backup").display().to_string();
    let (again, missing) = ("revoked already", "nothing of that");
    let attempts: [(bool, &[&str], &str, &str); 7] = [
        (true, &["request", "show", &device.transaction_id()], "success", ""),
        (true, &revoke, "failure", again),
        (true, &["challenge", "revoke", "0"], "failure", missing),
        (false, &["crl", "now"], "success", ""),
        (false, &["hsm", "selftest"], "success", "keys work"),
        (false, &["backup", "create", &nowhere], "failure", "No such file"),
        (false, &["backup", "verify", &nowhere, "--record"], "failure", "No such file"),
    ];
    let before = ledger(&instance).len();
    for (somebody, command, outcome, _) in &attempts {
        let output = match somebody {
            true => as_somebody(folder.path(), command),
            false => instance.command(command).unwrap(),
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), *outcome == "success", "{command:?}: {said}");
    }
    let entries = ledger(&instance).split_off(before);
    let mut recorded = entries.iter().filter(|e| e.event == "command");
    for (somebody, command, outcome, why) in &attempts {
        let entry = recorded.find(|e| command.join(" ").starts_with(e.field("command")));
        let entry = entry.unwrap_or_else(|| panic!("{command:?} is not recorded: {entries:?}"));
        assert_eq!(entry.field("outcome"), *outcome, "{entry:?}");
        assert!(entry.field("change").contains(why), "{entry:?}");
        let uid = if *somebody { SOMEBODY.1 } else { "0" };
        assert_eq!(entry.field("actor"), format!("uid {uid}"), "{entry:?}");
        assert!(entry.field("origin").starts_with("process "), "{entry:?}");
        assert!(!entry.field("object").is_empty(), "{entry:?}");
    }
    assert_eq!(recorded.next().map(|e| e.event.clone()), None, "each is recorded once");
}

#[test]
fn who_has_no_role_is_turned_away() {
    if !is_root() {
        return;
    }
    let (mut instance, folder) = with_role("admin");
    let config = folder.path().join("chancery.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("[roles]"));
    for _ in 0..2 {
        let output = Command::new("setpriv")
            .args(["--reuid", "6", "--clear-groups"])
            .arg(folder.path().join("chancery"))
            .arg("status")
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(as_somebody(folder.path(), &["status"]).status.success(), "the one who has");

    // However often he comes, it is one entry a minute.
    instance.stop().unwrap();
    let entries = ledger(&instance);
    let counted: Vec<_> = entries.iter().filter(|e| e.event == "refusals").collect();
    let total: u32 = counted.iter().map(|e| e.field("count").parse::<u32>().unwrap()).sum();
    assert!(total == 2 && counted.len() <= 2, "{counted:?}");
    let entry = counted[0];
    assert_eq!((entry.field("actor"), entry.field("source")), ("uid 6", "uid 6"), "{entry:?}");
    assert_eq!(entry.field("outcome"), "failure");
    assert!(entry.field("reason").contains("admin socket"), "{entry:?}");
}

#[test]
fn roles_that_exclude_each_other_are_refused() {
    let instance = Instance::create(&Options::default()).unwrap();
    let roles = "[roles]\nauditor = [\"games\", \"root\"]\nra_officer = [\"games\"]\n";
    instance.configure(|text| format!("{text}\n{roles}")).unwrap();
    let output = instance.command(&["config", "check"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("roles.auditor[0]") && said.contains("excludes"), "{said}");
    assert!(said.contains("roles.auditor[1]") && said.contains("root"), "{said}");
    let shown = Instance::create(&Options::default()).unwrap().ask(&["role", "show"]).unwrap();
    assert!(shown.contains("ra_officer") && shown.contains("nobody named"), "{shown}");
}
