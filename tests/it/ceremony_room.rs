//! A production ceremony on SoftHSM as people hold it: a terminal, typed names, words, PINs and shares.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use chancery::ceremony::plan::{Plan, load};
use chancery::ceremony::words;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use softhsm_test::client::Server;
use softhsm_test::instance::{Instance, Options, chancery};

use crate::ceremony::{ceremony, text};
use crate::common::{good, granted};

/// A program on a terminal of its own.
struct Terminal {
    child: Child,
    input: File,
    output: Receiver<Vec<u8>>,
}

impl Terminal {
    fn start(arguments: &[&str], folder: &Path) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = Command::new(chancery().unwrap())
            .args(arguments)
            .current_dir(folder)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let input = File::from(master);
        let mut reader = input.try_clone().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The terminal's other end is closed with an error when the program ends.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, input, output }
    }

    /// What is shown until nothing more comes for a while; none when the program has ended.
    fn read(&mut self) -> Option<String> {
        let mut shown = Vec::new();
        loop {
            match self.output.recv_timeout(Duration::from_millis(250)) {
                Ok(bytes) => shown.extend(bytes),
                Err(RecvTimeoutError::Timeout) if shown.is_empty() => {
                    if self.child.try_wait().unwrap().is_some() {
                        return None;
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) if shown.is_empty() => return None,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Some(String::from_utf8_lossy(&shown).replace('\r', ""))
    }

    fn answer(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }
}

/// The people in the room: they know the plan on paper, and write down what they are shown.
struct People {
    plan: Plan,
    paper: Vec<String>,
    secrets: Vec<String>,
    names: Vec<String>,
    confirmed: usize,
    deviated: u8,
    screen: String,
    answered: BTreeMap<String, usize>,
}

impl People {
    /// What they type at the last prompt of the screen.
    fn reply(&mut self, shown: &str) -> String {
        let all = format!("{}{shown}", self.screen);
        self.screen = all.chars().rev().take(3000).collect::<Vec<_>>().into_iter().rev().collect();
        let prompt = shown.trim_end_matches(' ').lines().last().unwrap_or_default().to_owned();
        *self.answered.entry(prompt.clone()).or_default() += 1;
        let ends = |text: &str| prompt.contains(text);
        if let Some(who) = prompt.strip_prefix("Name of ") {
            let name = format!("P. {}", who.trim_end_matches(':'));
            self.names.push(name.clone());
            return name;
        }
        if ends("types the words:") {
            let own = self.screen.rfind("also stand on the script: ");
            return match own {
                Some(at) if self.confirmed > 0 => {
                    self.screen[at..].lines().next().unwrap().split(": ").nth(1).unwrap().to_owned()
                }
                _ => words::phrase(&self.plan.digest().0),
            };
        }
        if ends("Who confirms?") {
            self.confirmed += 1;
            return self.names[self.confirmed % 2].clone();
        }
        if ends("Write it down, then press Enter") {
            let rows = shown.lines().filter(|l| l.starts_with("    ")).map(|l| l.trim().to_owned());
            self.paper = rows.collect();
            self.secrets.extend(self.paper.clone());
            return String::new();
        }
        if let Some(row) = prompt.strip_prefix("Row ") {
            let number: usize = row.trim_end_matches(':').parse().unwrap();
            // One character is misread in each row.
            let mut row: Vec<char> = self.paper[number - 1].to_lowercase().chars().collect();
            row[8] = if row[8] == 'z' { 'y' } else { 'z' };
            return row.into_iter().collect();
        }
        if ends("types it from paper") {
            return self.paper[0].to_lowercase();
        }
        if ends("give the reason") {
            return "the test has no shielded room".into();
        }
        if ends("reads out the") && self.deviated == 0 {
            self.deviated = 1;
            return "!the bag's seal is torn".into();
        }
        if ends("Who takes the responsibility?") || ends("Who says it?") {
            return self.names[0].clone();
        }
        if ends("reads out the") {
            return "4711".into();
        }
        if ends("answers:") {
            return "yes".into();
        }
        if ends("types «I attest»") {
            return "I attest".into();
        }
        if ends("wall clock") {
            return String::new();
        }
        panic!("nobody knows what to say to «{prompt}» after\n{}", self.screen);
    }
}

/// The example's plan with its tokens in `folder`.
fn plan(folder: &Path) -> String {
    let conf = folder.join("softhsm2.conf");
    fs::create_dir(folder.join("tokens")).unwrap();
    fs::write(
        &conf,
        format!(
            "directories.tokendir = {}\nobjectstore.backend = file\n",
            folder.join("tokens").display()
        ),
    )
    .unwrap();
    let text = include_str!("../../examples/ceremonies/root-and-issuing.toml");
    let environment = format!(
        "profile = \"softhsm2\"\nenvironment = {{ SOFTHSM2_CONF = {:?} }}\n",
        conf.to_str().unwrap()
    );
    text.replace("profile = \"softhsm2\"\n", &environment)
}

/// Holds the example's production ceremony in `folder` and returns what the people wrote on paper.
fn hold(folder: &Path) -> Vec<String> {
    let text = plan(folder);
    fs::write(folder.join("plan.toml"), &text).unwrap();
    let mut people = People {
        plan: load(&text).unwrap(),
        paper: Vec::new(),
        secrets: Vec::new(),
        names: Vec::new(),
        confirmed: 0,
        deviated: 0,
        screen: String::new(),
        answered: BTreeMap::new(),
    };
    let mut terminal =
        Terminal::start(&["ceremony", "run", "plan.toml", "--out", "evidence"], folder);
    let mut last = String::new();
    while let Some(shown) = terminal.read() {
        last.push_str(&shown);
        if shown.ends_with('\n') {
            continue;
        }
        let reply = people.reply(&shown);
        terminal.answer(&reply);
    }
    let status = terminal.child.wait().unwrap();
    assert!(status.success(), "{last}");
    people.secrets
}

#[test]
fn the_production_ceremony_is_held_by_people() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = hold(folder.path());
    let verified = ceremony(&["verify", "evidence"], folder.path());
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    let report = fs::read_to_string(folder.path().join("evidence/report.md")).unwrap();
    assert!(
        report.contains("seal is torn")
            && report.contains("4711")
            && report.contains("no shielded room")
    );
    assert!(!report.contains("REHEARSAL"));
    no_secret_is_left(&folder.path().join("evidence"), &secrets);
    let ca = folder.path().join("evidence/artefacts");
    let chain = Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile"])
        .arg(ca.join("r1.pem"))
        .arg("-untrusted")
        .arg(ca.join("i1.pem"))
        .arg(ca.join("ra1-signing.pem"))
        .output()
        .unwrap();
    assert!(chain.status.success(), "{}", text(&chain));
}

/// Neither a PIN nor a row of a share is in any file, as it is, without spaces or as a digest (I11).
fn no_secret_is_left(evidence: &Path, secrets: &[String]) {
    assert!(secrets.len() > 20, "{}", secrets.len());
    for place in [evidence.to_path_buf(), evidence.join("artefacts")] {
        for entry in fs::read_dir(place).unwrap().flatten().filter(|e| e.path().is_file()) {
            let content = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).to_uppercase();
            for secret in secrets {
                let plain = secret.replace(' ', "");
                let digest = hex::encode(openssl::sha::sha256(plain.as_bytes())).to_uppercase();
                for form in [secret, &plain, &digest] {
                    assert!(!content.contains(form.as_str()), "{}", entry.path().display());
                }
            }
        }
    }
}

#[test]
fn the_appliance_starts_on_what_the_ceremony_left() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = hold(folder.path());
    // The operator's PIN: the last secret in groups of four.
    let pin = secrets.iter().rfind(|s| s.split(' ').all(|g| g.len() == 4)).unwrap();
    let mut instance = Instance::create(&Options::default()).unwrap();
    let evidence = folder.path().join("evidence");
    let verified = chancery::ceremony::verify::verify(&evidence, None).unwrap();
    let fingerprint = words::words(&verified.fingerprint.unwrap());
    let certificates = folder.path().join("certificates");
    fs::create_dir(&certificates).unwrap();
    let import = |fingerprint: &str| {
        Command::new(chancery().unwrap())
            .arg("--config")
            .arg(&instance.config)
            .arg("import")
            .arg(&evidence)
            .args(["--fingerprint", fingerprint, "--to"])
            .arg(&certificates)
            .output()
            .unwrap()
    };
    let other = import(&words::words(&[7; 32]));
    assert_eq!(other.status.code(), Some(3), "{}", text(&other));
    assert_eq!(fs::read_dir(&certificates).unwrap().count(), 0);
    let imported = import(&fingerprint);
    assert!(imported.status.success(), "{}", text(&imported));
    assert!(text(&import(&fingerprint)).contains("has this ceremony already"));
    let pin_file = folder.path().join("pin");
    fs::write(&pin_file, pin.replace(' ', "")).unwrap();
    fs::set_permissions(&pin_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let token = format!(
        "[token.issuing]\nprofile = \"softhsm2\"\nlabel = \"I1\"\npin_file = {:?}\nenvironment = {{ SOFTHSM2_CONF = {:?} }}\n",
        pin_file.to_str().unwrap(),
        folder.path().join("softhsm2.conf").to_str().unwrap()
    );
    let sections = String::from_utf8(imported.stdout).unwrap();
    instance
        .configure(|config| {
            let (head, rest) = config.split_once("[token.main]").unwrap();
            let (_, tail) = rest.split_once("[profile.device]").unwrap();
            format!("{head}{token}{sections}[profile.device]{tail}")
        })
        .unwrap();
    instance.root = certificates.join("r1.pem");
    instance.chain = certificates.join("i1.pem");
    instance.start().unwrap();
    let server = Server::discover(&instance.url).unwrap();
    let (device, draft) = good(&instance, &server, "first-device");
    granted(&instance, &server, &device, &draft);
    let recorded = Command::new(chancery().unwrap())
        .args(["--json", "--config"])
        .arg(&instance.config)
        .args(["ledger", "list"])
        .output()
        .unwrap();
    assert!(text(&recorded).contains("ceremony"), "{}", text(&recorded));
}
