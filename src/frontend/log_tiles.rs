//! The ledger as a log that anybody can check (C2SP tlog-tiles): `/log/checkpoint` and `/log/tile/…`.
//! The signer makes all of it and says what is published; tiles never change, so that they are kept here,
//! within bounds, and in every cache on the way.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Method;
use tokio::sync::Semaphore;

use super::document::Document;
use super::reply::Reply;
use crate::ledger::Tile;
use crate::wire::frontend::{Document as Described, Request, Response};
use crate::wire::{CallError, Client};

/// Where all of it is.
const PREFIX: &str = "/log/";

/// For how many seconds caches may keep the checkpoint.
const CHECKPOINT_MAX_AGE: u32 = 2;

/// For how many seconds caches may keep a tile: a year, the most that they are asked for.
const TILE_MAX_AGE: u32 = 31_536_000;

/// The most octets of tiles that are kept.
const KEPT_OCTETS: usize = 16 << 20;

/// The longest tile that is kept.
const KEPT_TILE: usize = 1 << 20;

/// How many requests the signer is asked at once: readers of the log must not crowd out devices.
const AT_ONCE: usize = 4;

/// What is kept of the log.
#[derive(Debug)]
pub(super) struct LogTiles {
    turns: Semaphore,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    checkpoint: Option<(Instant, Document)>,
    tiles: HashMap<String, Document>,
    octets: usize,
}

/// What came of a question about the log.
pub(super) enum Asked {
    /// It is published.
    Found(Document),
    /// It is not, or there is none.
    Nothing,
    /// The signer has no time for it now, or is away: a word for the access log.
    Later(&'static str),
}

impl Default for LogTiles {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), kept: Mutex::default() }
    }
}

impl LogTiles {
    /// Whether `path` is one of the log's.
    pub(super) fn owns(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    /// Answers for `path`, below [`PREFIX`].
    pub(super) async fn ask(&self, path: &str, signer: &Client<Request>) -> Asked {
        let path = path.strip_prefix(PREFIX).unwrap_or_default();
        if let Some(known) = self.known(path) {
            return Asked::Found(known);
        }
        let request = match path.strip_prefix("tile/") {
            // Also here, so that rubbish does not wake the signer.
            Some(tile) if Tile::from_path(tile).is_some() => {
                Request::LogTile { path: tile.to_owned() }
            }
            None if path == "checkpoint" => Request::LogCheckpoint,
            _ => return Asked::Nothing,
        };
        let Ok(_turn) = self.turns.try_acquire() else { return Asked::Later("log busy") };
        let document = match signer.call(request).await {
            Ok(Response::LogCheckpoint(note)) => {
                let body = note.into_bytes();
                let document = document("text/plain; charset=utf-8", CHECKPOINT_MAX_AGE, body);
                self.lock().checkpoint = document.clone().map(|d| (Instant::now(), d));
                document
            }
            Ok(Response::LogTile(body)) => {
                let document = document("application/octet-stream", TILE_MAX_AGE, body);
                let document = document.map(Document::immutable);
                document.inspect(|document| self.keep(path, document))
            }
            Ok(Response::NotPublished) => None,
            Ok(Response::Unavailable(why)) => {
                log::warn!("the signer cannot serve the log: {why}");
                return Asked::Later("signer unavailable");
            }
            Ok(other) => {
                log::error!("the signer answers a question about the log with {other:?}");
                return Asked::Later("signer failed");
            }
            Err(CallError::NotConnected(_) | CallError::Stopping) => {
                return Asked::Later("signer away");
            }
            Err(e) => {
                log::warn!("the signer does not serve the log: {e}");
                return Asked::Later("signer failed");
            }
        };
        document.map_or(Asked::Nothing, Asked::Found)
    }

    fn known(&self, path: &str) -> Option<Document> {
        let kept = self.lock();
        match &kept.checkpoint {
            Some((time, document)) if path == "checkpoint" => {
                let fresh = time.elapsed() < Duration::from_secs(CHECKPOINT_MAX_AGE.into());
                fresh.then(|| document.clone())
            }
            _ => kept.tiles.get(path).cloned(),
        }
    }

    fn keep(&self, path: &str, document: &Document) {
        let len = document.body.len();
        if len > KEPT_TILE {
            return;
        }
        let mut kept = self.lock();
        if kept.octets + len > KEPT_OCTETS {
            // What is asked for often is soon there again.
            kept.tiles.clear();
            kept.octets = 0;
        }
        if kept.tiles.insert(path.to_owned(), document.clone()).is_none() {
            kept.octets += len;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn document(media_type: &str, max_age: u32, body: Vec<u8>) -> Option<Document> {
    let media_type = media_type.to_owned();
    Document::new(Described { path: String::new(), media_type, max_age, body })
}

/// As a reply to `method`, where the outcome is one.
pub(super) fn reply(
    asked: &Asked,
    method: &Method,
    headers: &axum::http::HeaderMap,
) -> Option<Reply> {
    match asked {
        _ if !matches!(*method, Method::GET | Method::HEAD) => {
            Some(Reply::wrong_method("GET, HEAD"))
        }
        Asked::Found(document) if document.is_known(headers) => Some(Reply::not_modified(document)),
        Asked::Found(document) => Some(Reply::document(document)),
        Asked::Nothing => Some(Reply::not_published()),
        Asked::Later(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_within_its_bound() {
        let tiles = LogTiles::default();
        let tile = document("application/octet-stream", 1, vec![0; KEPT_TILE]).unwrap();
        for index in 0..40 {
            tiles.keep(&format!("tile/entries/{index:03}"), &tile);
            assert!(tiles.lock().octets <= KEPT_OCTETS);
        }
        assert!(tiles.known("tile/entries/039").is_some());
        assert!(tiles.known("tile/entries/000").is_none());
        let long = document("application/octet-stream", 1, vec![0; KEPT_TILE + 1]).unwrap();
        tiles.keep("tile/entries/100", &long);
        assert!(tiles.known("tile/entries/100").is_none());
        assert!(LogTiles::owns("/log/checkpoint") && !LogTiles::owns("/logs"));
    }
}
