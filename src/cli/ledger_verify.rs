//! `chancery ledger verify`: the ledger held against its own rules, the CAs' and the log's keys and what
//! somebody noted of it before. Asks the signer for the entries where one runs; otherwise, and without HSM,
//! reads the journal in place and the database in a copy.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::admin::Session;
use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::ledger_online::Online;
use super::ledger_proof::LogKey;
use super::ledger_source::{self, Copy};
use super::output;
use super::progress::Progress;
use crate::ledger::StoreError;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::merkle::Hash;
use crate::ledger::note::NoteKey;
use crate::ledger::verify::{EntrySource, Finding, FindingKind, IssuerKeys, Verified, Verifier};
use crate::random::SystemRandom;
use crate::signer::load_certificate;
use crate::store::{FileStore, JournalView, Quiet, StoreOptions};

/// The arguments of `chancery ledger verify`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The ledger's folder, for example an auditor's copy; without it the entries come from the signer
    /// that runs, or from the configuration's folder where none does
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
    /// A file with a checkpoint that `chancery ledger checkpoint` printed before: as --head, and its
    /// signature is verified. May be repeated
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Go on from an earlier verification: do not check again the certificates' signatures before the
    /// largest --head or --checkpoint
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    key: LogKey,
    /// Where there is room for a copy of the ledger while its indexes are compared; without it the
    /// system's folder for temporary files
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
}

/// Number of entries and root of a ledger, as somebody noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) size: u64,
    pub(super) root: Hash,
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
    /// Number of checkpoints whose signature was verified.
    signed: u64,
}

/// What the ledger is held against.
struct Known {
    issuers: IssuerKeys,
    /// The log's key; none where neither the command line nor the configuration names it.
    log: Option<NoteKey>,
    /// Heads and checkpoints of which somebody kept a note, and by what name.
    heads: Vec<(String, Checkpoint)>,
    /// From which an earlier verification is gone on from.
    trusted: Option<Checkpoint>,
    signed: u64,
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
            StoreError::Damaged(what) => Self::Found(Finding::at(None, what)),
            StoreError::RolledBack { .. } => Self::Found(Finding::at(None, e.to_string())),
            StoreError::Database(_) => Self::Found(Finding::of_indexes(&e)),
            StoreError::UnknownFormat(_)
            | StoreError::Unavailable(_)
            | StoreError::NoBarrier(_) => {
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
    let known = known(&arguments, common)?;
    let signer = match &arguments.folder {
        Some(_) => None,
        None => ledger_source::signer(common)?,
    };
    let (what, outcome) = match (signer, &arguments.folder) {
        (Some(session), _) => ("the signer's ledger".to_owned(), online(session, known)),
        (None, Some(folder)) => named(folder, known, &arguments),
        (None, None) => named(&common.load()?.signer.ledger_dir(), known, &arguments),
    };
    match outcome {
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
                format!("{what} does not verify"),
                &finding,
                match finding.kind {
                    FindingKind::Damaged => {
                        "keep the folder as it is and start no signer on it; restore the latest good copy \
                         and verify that one with --head. Where another folder was meant, name that"
                    }
                    _ => finding.remedy(),
                },
            ))
        }
    }
}

fn named(folder: &Path, known: Known, arguments: &Arguments) -> (String, Result<Report, Problem>) {
    (format!("the ledger in {}", folder.display()), verify(folder, known, arguments))
}

/// Reads the keys, and what was noted of the ledger before.
fn known(arguments: &Arguments, common: &Common) -> Result<Known, Failure> {
    let issuers = issuer_keys(&arguments.issuers, common)?;
    // An auditor who names the issuers has no configuration.
    let own = arguments.folder.is_none() || arguments.issuers.is_empty();
    let log = match arguments.key.named()? {
        None if own => common.load()?.ledger.note_key(),
        named => named,
    };
    let checkpoint =
        |head: &Head| Checkpoint { origin: String::new(), size: head.size, root: head.root };
    let all = arguments.heads.iter().map(|h| (format!("the head {h}"), checkpoint(h)));
    let mut heads: Vec<(String, Checkpoint)> = all.collect();
    for path in &arguments.checkpoints {
        let name = path.display().to_string();
        let next = "name the file that was kept, and by --key the key of its log";
        let Some(key) = &log else {
            return Err(unable(Exit::Usage, &format!("no log's key is known for {name}"), next));
        };
        let note = std::fs::read_to_string(path);
        let note = note.map_err(|e| unable(Exit::Failed, &format!("{name}: {e}"), next))?;
        let kept = Checkpoint::open(&note, key);
        let kept = kept.map_err(|e| unable(Exit::Integrity, &format!("{name}: {e}"), next))?;
        heads.push((name, kept));
    }
    let trusted = heads.iter().map(|(_, c)| c).max_by_key(|c| c.size).cloned();
    if arguments.resume && trusted.is_none() {
        let next = "name by --head or --checkpoint where the earlier one ended";
        return Err(unable(Exit::Usage, &"--resume has nothing to go on from", next));
    }
    let trusted = trusted.filter(|_| arguments.resume);
    Ok(Known { issuers, log, heads, trusted, signed: arguments.checkpoints.len() as u64 })
}

/// Verifies what the signer that runs shows of its ledger.
fn online(session: Session, known: Known) -> Result<Report, Problem> {
    let online = Online::new(session);
    let note = online.checkpoint().map_err(Problem::Unable)?;
    let size = online.size().map_err(Problem::Unable)?;
    let (verified, signed) = match entries(&online, (size, note.as_deref()), known) {
        Ok(done) => done,
        Err(problem) => return Err(online.failure().map_or(problem, Problem::Unable)),
    };
    Ok(Report { verified, indexed: None, torn: 0, signed })
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

fn verify(folder: &Path, known: Known, arguments: &Arguments) -> Result<Report, Problem> {
    if !folder.join("journal").is_dir() {
        let what = "its folder «journal», which holds every entry, is missing; or this is no ledger's folder";
        return Err(Finding::at(None, what).into());
    }
    let quiet = match Quiet::hold(folder) {
        Ok(quiet) => Some(quiet),
        Err(StoreError::Locked(_)) => None,
        Err(e) => return Err(e.into()),
    };
    let view = JournalView::open(folder)?;
    let (verified, signed) = entries(&view, (view.size(), view.checkpoint()), known)?;
    if verified.root != view.frontier().root() {
        let what = "the hashes in its last segment's header are not those of the entries before";
        return Err(Finding::at(None, what).into());
    }
    let indexed = quiet.map(|quiet| indexes(&quiet, folder, arguments)).transpose()?;
    Ok(Report { verified, indexed, torn: view.torn_bytes(), signed })
}

/// Verifies the first `size` entries, the tree, the signatures and what is known of the ledger, `note`
/// among it. Also says how many checkpoints' signatures were verified.
fn entries(
    source: &dyn EntrySource,
    (size, note): (u64, Option<&str>),
    known: Known,
) -> Result<(Verified, u64), Problem> {
    let Known { issuers, log, mut heads, trusted, mut signed } = known;
    if let Some(note) = note {
        let kept = match &log {
            Some(key) => Checkpoint::open(note, key),
            None => Checkpoint::read_unverified(note),
        };
        let kept = kept.map_err(|e| StoreError::Damaged(format!("its kept checkpoint: {e}")))?;
        signed += u64::from(log.is_some());
        heads.push(("its kept checkpoint".to_owned(), kept));
    }
    let mut verifier = Verifier::new(issuers, heads, trusted.as_ref());
    let mut progress = Progress::new("entries", size);
    while !verifier.step(source, size)? {
        progress.at(verifier.verified().entries);
    }
    drop(progress);
    Ok((verifier.finish()?, signed))
}

/// Compares the indexes with the entries, in a copy that is removed afterwards.
fn indexes(quiet: &Quiet, folder: &Path, arguments: &Arguments) -> Result<u64, Problem> {
    if !folder.join("db").is_dir() {
        let what = "its index database is missing";
        return Err(Finding::at(None, what).into());
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
        return Err(Finding::at(None, what).into());
    }
    let mut progress = Progress::new("indexes", store.indexed_size());
    Ok(store.verify_database(&mut |done| {
        progress.at(done);
        true
    })?)
}

fn head(verified: &Verified) -> Head {
    Head { size: verified.entries, root: verified.root }
}

fn as_text(report: &Report) -> String {
    let Report { verified, indexed, torn, signed } = report;
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
         known heads: {} agree\nsigned: {signed} checkpoints by the log's key\nopen: {} write-ahead entries\nindexes: {indexes}\n{unfinished}\
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
        ("signed_checkpoints", report.signed),
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
