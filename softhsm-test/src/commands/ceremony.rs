//! `softhsm-test ceremony`: a ceremony held by people who are played.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use chancery::ceremony::{verify, words};
use softhsm_test::ceremony::{People, with_tokens};
use softhsm_test::{Context as _, Result, fail};

/// Hold the production ceremony of a plan, with people who are played, on SoftHSM tokens.
///
/// DIR gets the tokens, their softhsm2.conf, the evidence, a file for each secret that one person noted
/// (`NAME.secret`), and `fingerprint`, the words on paper. It is for trying what comes after a ceremony:
/// nothing here is anybody's secret.
#[derive(Debug, clap::Args)]
pub struct Ceremony {
    /// The plan; each of its tokens has the profile softhsm2.
    #[arg(value_name = "PLAN")]
    plan: PathBuf,

    /// The folder, which must be there.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// A secret with a holder that goes into a file; may be given several times.
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<String>,
}

impl Ceremony {
    pub fn run(self) -> Result<ExitCode> {
        let plan = fs::read_to_string(&self.plan).context(self.plan.display())?;
        let dir = std::path::absolute(&self.dir).context(self.dir.display())?;
        let mut people = People::default();
        people.hold(&dir, &with_tokens(&plan, &dir)?)?;
        for name in &self.secrets {
            let notes = people.noted(&format!("«{name}»"));
            let Some(secret) = notes.first().and_then(|rows| rows.first()) else {
                return fail(format!("nobody noted the secret {name}"));
            };
            put(dir.join(format!("{name}.secret")), &secret.replace(' ', ""))?;
        }
        let verified = verify::verify(&dir.join("evidence"), None).context("the evidence")?;
        let Some(fingerprint) = verified.fingerprint else {
            return fail("the evidence has no fingerprint");
        };
        put(dir.join("fingerprint"), &words::words(&fingerprint))?;
        println!("{}", dir.join("evidence").display());
        Ok(ExitCode::SUCCESS)
    }
}

fn put(path: PathBuf, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&path).context(path.display())?;
    file.write_all(text.as_bytes()).context(path.display())
}
