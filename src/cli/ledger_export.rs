//! `chancery ledger export|watch|migrate`: the ledger as files, as it grows, and in which version.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::admin::Session;
use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::ledger::{Tail, print};
use super::ledger_source::{Place, Source, size_of};
use super::output;
use super::progress::Progress;
use crate::ledger::verify::EntrySource as _;
use crate::ledger::{ENTRY_VERSION, Entry, EntryError, Tile};
use crate::store::JournalView;
use crate::wire::admin::{Request, Response};

/// How often `watch` looks for new entries.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The arguments of `chancery ledger export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The new folder for the files
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Leave the entries out, which hold personal data
    #[arg(long)]
    hashes: bool,
    #[command(flatten)]
    place: Place,
}

/// Writes all that the newest checkpoint covers as a static tlog-tiles log.
pub fn export(arguments: &Export, common: &Common) -> Result<(), Failure> {
    let source = Source::open(&arguments.place, common)?;
    let note = source.checkpoint()?;
    let size = size_of(&note)?;
    let folder = &arguments.out;
    let failed = |path: &Path, e: std::io::Error| {
        let there = e.kind() == std::io::ErrorKind::AlreadyExists;
        let exit = if there { Exit::Conflict } else { Exit::Failed };
        let what = format!("{} was not written", path.display());
        Failure::new(exit, what, e, "name a folder that is not there yet, with room for the ledger")
    };
    std::fs::create_dir(folder).map_err(|e| failed(folder, e))?;
    let tiles = tiles(size, !arguments.hashes);
    let mut progress = Progress::new("tiles", tiles.len() as u64);
    for (done, tile) in tiles.iter().enumerate() {
        let path = folder.join("tile").join(tile.path());
        let Some(bytes) = source.tile(tile)? else {
            let cause = format!("the ledger has no tile {}", tile.path());
            let next = "verify it: `chancery ledger verify`";
            return Err(Failure::new(Exit::Integrity, "the export is not whole", cause, next));
        };
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|e| failed(parent, e))?;
        std::fs::write(&path, bytes).map_err(|e| failed(&path, e))?;
        progress.at(done as u64 + 1);
    }
    drop(progress);
    // Last: who sees the checkpoint sees all that it covers.
    let path = folder.join("checkpoint");
    std::fs::write(&path, &note).map_err(|e| failed(&path, e))?;
    if common.json {
        let folder = folder.display().to_string();
        let json = serde_json::json!({ "folder": folder, "entries": size, "tiles": tiles.len() });
        return output::json(&json);
    }
    output::write(&format!("{}: {size} entries, {} tiles\n", folder.display(), tiles.len()))
}

/// Every tile of a log of `size` entries, each as full as it is.
fn tiles(size: u64, with_entries: bool) -> Vec<Tile> {
    let mut all = Vec::new();
    let widths = |count: u64| {
        let full = (0..count / 256).map(|index| (index, 256));
        let last = Some((count / 256, (count % 256) as u16)).filter(|(_, width)| *width > 0);
        full.chain(last)
    };
    for level in 0u8..8 {
        let count = size >> (u32::from(level) * 8);
        all.extend(widths(count).map(|(index, width)| Tile::Hashes { level, index, width }));
    }
    if with_entries {
        all.extend(widths(size).map(|(index, width)| Tile::Entries { index, width }));
    }
    all
}

/// Prints entries as they come, until it is interrupted.
pub fn watch(from: Option<u64>, common: &Common) -> Result<(), Failure> {
    let session = Session::open(common, Duration::from_secs(60))?;
    let next = match from {
        Some(from) => from,
        None => match session.ask(Request::LedgerRead { from: u64::MAX, limit: 0 })? {
            Response::LedgerPart(part) => part.size,
            _ => return Err(super::admin::unexpected()),
        },
    };
    let mut tail = Tail { next };
    loop {
        let entries = tail.more(&session)?;
        if entries.is_empty() {
            std::thread::sleep(LOOK_EVERY);
        }
        for entry in &entries {
            print(entry, common)?;
        }
    }
}

/// The arguments of `chancery ledger migrate`.
#[derive(Debug, Args)]
pub struct Migrate {
    /// Only say what would be done
    #[arg(long)]
    check: bool,
    /// The ledger's folder; without it the configuration's
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Reads every entry and looks at its version. There is one version so far, so that there is nothing to
/// migrate; an entry of a later one is refused, by this and by the signer.
pub fn migrate(arguments: &Migrate, common: &Common) -> Result<(), Failure> {
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => common.load()?.signer.ledger_dir(),
    };
    let failed = |exit, cause: &dyn std::fmt::Display, next: &str| {
        let what = format!("the ledger in {} was not looked through", folder.display());
        Failure::new(exit, what, cause, next)
    };
    if !folder.join("journal").is_dir() {
        let next = "name the ledger's folder, or its configuration by --config";
        return Err(failed(Exit::Failed, &"it has no folder «journal»", next));
    }
    let damaged = "`chancery ledger verify` names the first bad place";
    let view = JournalView::open(&folder).map_err(|e| failed(Exit::Integrity, &e, damaged))?;
    let size = view.size();
    let mut progress = Progress::new("entries", size);
    let mut read = 0;
    while read < size {
        let part =
            view.read_entries(read, 512).map_err(|e| failed(Exit::Integrity, &e, damaged))?;
        if part.is_empty() {
            return Err(failed(Exit::Integrity, &format!("entry {read} is missing"), damaged));
        }
        for bytes in &part {
            if let Err(e) = Entry::decode(bytes) {
                let next = match e {
                    EntryError::UnknownVersion(_) => {
                        "install the release that wrote it, or a newer one"
                    }
                    _ => damaged,
                };
                return Err(failed(Exit::Integrity, &format!("entry {read}: {e}"), next));
            }
            read += 1;
        }
        progress.at(read);
    }
    drop(progress);
    if common.json {
        return output::json(&serde_json::json!({
            "entries": size, "version": ENTRY_VERSION, "to_migrate": 0, "check": arguments.check,
        }));
    }
    let done = if arguments.check { "nothing would be changed" } else { "nothing was changed" };
    output::write(&format!(
        "{size} entries, all of version {ENTRY_VERSION}, which this release reads and writes: {done}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_of_a_log_is_named_once() {
        let paths = |size, entries| -> Vec<String> {
            tiles(size, entries).iter().map(Tile::path).collect()
        };
        assert!(paths(0, true).is_empty());
        assert_eq!(paths(3, true), ["0/000.p/3", "entries/000.p/3"]);
        assert_eq!(paths(256, false), ["0/000", "1/000.p/1"]);
        assert_eq!(paths(513, false), ["0/000", "0/001", "0/002.p/1", "1/000.p/2"]);
    }
}
