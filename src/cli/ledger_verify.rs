//! `chancery ledger verify`: the ledger's files held against their own rules, the CAs' keys and what
//! somebody noted of them before. Needs no HSM and no signer; reads the journal in place and the
//! database in a copy.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::ledger::StoreError;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::merkle::Hash;
use crate::ledger::verify::{Finding, IssuerKeys, Verified, Verifier};
use crate::random::{self, SystemRandom};
use crate::signer::load_certificate;
use crate::store::{FileStore, JournalView, Quiet, StoreOptions};

/// The arguments of `chancery ledger verify`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The ledger's folder, for example an auditor's copy; without it the configuration's
    folder: Option<PathBuf>,
    /// A CA's certificate under the name that the ledger has for it, once for each CA; without it the
    /// configuration's CAs
    #[arg(long = "issuer", value_name = "NAME=FILE", value_parser = issuer)]
    issuers: Vec<(String, PathBuf)>,
    /// A head that an earlier verification printed, from which the ledger must go on. Only one that is
    /// kept elsewhere shows that an older copy was put back, or that somebody who knows the format wrote
    /// entries anew. May be repeated
    #[arg(long = "head", value_name = "SIZE:ROOT")]
    heads: Vec<Head>,
    /// Do not check again the certificates' signatures before the largest --head
    #[arg(long, requires = "heads")]
    resume: bool,
    /// Where there is room for a copy of the ledger while its indexes are compared; without it the
    /// system's folder for temporary files
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
}

/// Number of entries and root of a ledger, as somebody noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    size: u64,
    root: Hash,
}

impl FromStr for Head {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(':').and_then(|(size, root)| {
            let root = STANDARD.decode(root).ok().and_then(|root| Hash::try_from(root).ok())?;
            Some(Self { size: size.parse().ok()?, root })
        });
        parts.ok_or("it is not of the form SIZE:ROOT, as `chancery ledger verify` prints it")
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.size, STANDARD.encode(self.root))
    }
}

fn issuer(text: &str) -> Result<(String, PathBuf), &'static str> {
    let parts = text.split_once('=').filter(|(name, file)| !name.is_empty() && !file.is_empty());
    parts.map(|(name, file)| (name.into(), file.into())).ok_or("it is not of the form NAME=FILE")
}

/// What a verification found good.
struct Report {
    verified: Verified,
    /// Entries whose indexes were compared; none while a signer runs on the ledger.
    indexed: Option<u64>,
    /// Octets of an unfinished commit at the end.
    torn: u64,
}

/// Why a verification did not end well.
enum Problem {
    /// The ledger is not as it should be.
    Found(Finding),
    /// It could not be looked at.
    Unable(Failure),
}

impl From<Finding> for Problem {
    fn from(finding: Finding) -> Self {
        Self::Found(finding)
    }
}

impl From<StoreError> for Problem {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Damaged(what) => Self::Found(Finding { sequence: None, what }),
            StoreError::RolledBack { .. } | StoreError::Database(_) => {
                Self::Found(Finding { sequence: None, what: e.to_string() })
            }
            StoreError::UnknownFormat(_) | StoreError::NoBarrier(_) => {
                Self::Unable(unable(Exit::Integrity, &e, "do as the cause says"))
            }
            StoreError::Locked(_) => {
                Self::Unable(unable(Exit::Conflict, &e, "try again when it is free"))
            }
            StoreError::Io { .. } | StoreError::Full { .. } => {
                let next = "mend the cause; --scratch names a folder with room for a copy";
                Self::Unable(unable(Exit::Failed, &e, next))
            }
        }
    }
}

/// Runs the verification to the exit status.
pub fn run(arguments: Arguments, common: &Common) -> Result<(), Failure> {
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => common.load()?.signer.ledger_dir(),
    };
    let keys = issuer_keys(&arguments.issuers, common)?;
    match verify(&folder, keys, &arguments) {
        Ok(report) if common.json => output::json(&as_json(&report)),
        Ok(report) => output::write(&as_text(&report)),
        Err(Problem::Unable(failure)) => Err(failure),
        Err(Problem::Found(finding)) => {
            if common.json {
                output::json(&serde_json::json!({
                    "ok": false,
                    "sequence": finding.sequence.map(|s| s.0),
                    "finding": finding.what,
                }))?;
            }
            Err(Failure::new(
                Exit::Integrity,
                format!("the ledger in {} does not verify", folder.display()),
                &finding,
                "keep the folder as it is and start no signer on it; restore the latest good copy \
                 and verify that one with --head",
            ))
        }
    }
}

fn unable(exit: Exit, cause: &dyn fmt::Display, next: &str) -> Failure {
    Failure::new(exit, "the ledger was not verified", cause, next)
}

fn issuer_keys(issuers: &[(String, PathBuf)], common: &Common) -> Result<IssuerKeys, Failure> {
    let issuers = match issuers {
        [] => {
            let config = common.load()?;
            let all = config.ca.iter();
            all.map(|(name, ca)| (name.as_str().to_owned(), ca.certificate.clone())).collect()
        }
        named => named.to_vec(),
    };
    let key = |(name, path): (String, PathBuf)| {
        let certificate = load_certificate(&path)
            .map_err(|e| unable(Exit::Failed, &e, "name the CA's certificate by --issuer"))?;
        Ok((name, certificate.public_key().clone()))
    };
    issuers.into_iter().map(key).collect()
}

fn verify(folder: &Path, keys: IssuerKeys, arguments: &Arguments) -> Result<Report, Problem> {
    if !folder.join("journal").is_dir() {
        let cause = format!("{} has no folder «journal»", folder.display());
        let next = "name the ledger's folder, or its configuration by --config";
        return Err(Problem::Unable(unable(Exit::Failed, &cause, next)));
    }
    let quiet = match Quiet::hold(folder) {
        Ok(quiet) => Some(quiet),
        Err(StoreError::Locked(_)) => None,
        Err(e) => return Err(e.into()),
    };
    let view = JournalView::open(folder)?;
    let verified = entries(&view, keys, arguments)?;
    let indexed = quiet.map(|quiet| indexes(&quiet, folder, arguments)).transpose()?;
    Ok(Report { verified, indexed, torn: view.torn_bytes() })
}

/// Verifies every entry, the tree, the signatures and the heads that are known.
fn entries(
    view: &JournalView,
    keys: IssuerKeys,
    arguments: &Arguments,
) -> Result<Verified, Problem> {
    let mut known = Vec::new();
    if let Some(note) = view.checkpoint() {
        let kept = Checkpoint::read_unverified(note);
        let kept = kept.map_err(|e| StoreError::Damaged(format!("its kept checkpoint: {e}")))?;
        known.push(("its kept checkpoint".to_owned(), kept));
    }
    let checkpoint =
        |head: &Head| Checkpoint { origin: String::new(), size: head.size, root: head.root };
    known.extend(arguments.heads.iter().map(|h| (format!("the head {h}"), checkpoint(h))));
    let last = arguments.heads.iter().max_by_key(|h| h.size).filter(|_| arguments.resume);
    let trusted = last.map(checkpoint);
    let mut verifier = Verifier::new(keys, known, trusted.as_ref());
    let mut progress = Progress::new("entries", view.size());
    while !verifier.step(view, view.size())? {
        progress.at(verifier.verified().entries);
    }
    drop(progress);
    let verified = verifier.finish()?;
    if verified.root != view.frontier().root() {
        let what = "the hashes in its last segment's header are not those of the entries before";
        return Err(Finding { sequence: None, what: what.into() }.into());
    }
    Ok(verified)
}

/// Compares the indexes with the entries, in a copy that is removed afterwards.
fn indexes(quiet: &Quiet, folder: &Path, arguments: &Arguments) -> Result<u64, Problem> {
    if !folder.join("db").is_dir() {
        let what = "its index database is missing".into();
        return Err(Finding { sequence: None, what }.into());
    }
    let scratch = arguments.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let copy = Copy::make(quiet, folder, &scratch)?;
    let options = StoreOptions { reserve_bytes: 0, ..StoreOptions::new(&copy.0) };
    let store = FileStore::open(options, std::sync::Arc::new(SystemRandom))?;
    if let Some(why) = store.database_rebuilt() {
        let what = format!(
            "its index database does not fit its entries ({why}): one of them was changed; \
             verify the entries with a --head that is kept elsewhere"
        );
        return Err(Finding { sequence: None, what }.into());
    }
    let mut progress = Progress::new("indexes", store.indexed_size());
    Ok(store.verify_database(&mut |done| {
        progress.at(done);
        true
    })?)
}

/// A copy of a data folder, removed with this.
struct Copy(PathBuf);

impl Copy {
    fn make(quiet: &Quiet, folder: &Path, scratch: &Path) -> Result<Self, Problem> {
        let name: [u8; 8] = random::bytes(&SystemRandom)
            .map_err(|e| Problem::Unable(unable(Exit::Failed, &e, "try again")))?;
        let copy = Self(scratch.join(format!("chancery-verify-{}", hex::encode(name))));
        quiet.copy(folder, &copy.0)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            output::note(&format!("chancery: remove {} by hand: {e}", self.0.display()));
        }
    }
}

/// How far it has come, for a person at a terminal.
struct Progress {
    what: &'static str,
    end: u64,
    percent: Option<u64>,
    shown: bool,
}

impl Progress {
    fn new(what: &'static str, end: u64) -> Self {
        Self { what, end, percent: None, shown: std::io::stderr().is_terminal() }
    }

    fn at(&mut self, done: u64) {
        let percent = done.saturating_mul(100).checked_div(self.end);
        if self.shown && percent != self.percent {
            self.percent = percent;
            let _ = write!(std::io::stderr(), "\r{}: {done} of {}", self.what, self.end);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.percent.is_some() {
            output::note("");
        }
    }
}

fn head(verified: &Verified) -> Head {
    Head { size: verified.entries, root: verified.root }
}

fn as_text(report: &Report) -> String {
    let Report { verified, indexed, torn } = report;
    let indexes = match indexed {
        Some(size) => format!("of {size} entries; the rest is made anew at every start"),
        None => "not compared: the signer runs on this ledger".into(),
    };
    let unfinished = match torn {
        0 => String::new(),
        n => format!("unfinished: {n} octets at the end, as a crash leaves them\n"),
    };
    format!(
        "the ledger is good\nentries: {}\ncertificates: {} signatures checked\n\
         known heads: {} agree\nopen: {} write-ahead entries\nindexes: {indexes}\n{unfinished}\
         head: {}\n",
        verified.entries,
        verified.certificates,
        verified.checkpoints,
        verified.open,
        head(verified),
    )
}

fn as_json(report: &Report) -> serde_json::Value {
    let verified = &report.verified;
    let values = BTreeMap::from([
        ("entries", verified.entries),
        ("certificates", verified.certificates),
        ("known_heads", verified.checkpoints),
        ("open", verified.open),
        ("torn_octets", report.torn),
    ]);
    let mut json = serde_json::json!(values);
    json["ok"] = true.into();
    json["indexes"] = report.indexed.into();
    json["head"] = head(verified).to_string().into();
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_printed_and_nothing_else_is() {
        let head = Head { size: 604, root: [7; 32] };
        assert_eq!(head.to_string().parse(), Ok(head));
        for bad in ["", "604", "604:", ":AAAA", "x:AAAA", "604:AAAA", "-1:AAAA"] {
            assert!(bad.parse::<Head>().is_err(), "{bad:?}");
        }
        assert_eq!(issuer("ca=a=b.pem"), Ok(("ca".into(), "a=b.pem".into())));
        assert!(issuer("ca").is_err() && issuer("=x").is_err() && issuer("x=").is_err());
    }
}
