//! `foreign-log-client HOST:PORT KEY PROOF-FILE… --old CHECKPOINT --consistency FILE`: checks a log that is
//! served at `/log/` by the libraries of another project: the checkpoint's signature; from tiles, every
//! entry's inclusion and the consistency with an older checkpoint; proof files and a consistency proof
//! (a hash a line) that the log made itself. Each check is also made with something wrong, and must fail.
//! Any failure ends it.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, Hash, Tile, TileHashReader, TileReader, check_record, check_tree,
    prove_record, prove_tree, record_hash,
};

/// Tiles over HTTP.
struct Log(String);

impl Log {
    fn get(&self, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.0).expect("a connection");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.0);
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{path} is not served");
        answer.split_off(end + 4)
    }
}

impl TileReader for Log {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        // The library's paths name the height, which C2SP's paths do not.
        let path = |tile: &Tile| tile.path().replacen("tile/8/", "/log/tile/", 1);
        Ok(tiles.iter().map(|tile| self.get(&path(tile))).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// A checkpoint that the key of the log signed.
fn open(note: &[u8], key: &str) -> Checkpoint {
    let note = Note::from_bytes(note).expect("a signed note");
    let key = StandardVerifier::new(key).expect("a key");
    note.verify(&VerifierList::new(vec![Box::new(key)])).expect("the log's signature");
    Checkpoint::from_bytes(note.text()).expect("a checkpoint")
}

/// The entries of a bundle: each behind its length.
fn entries(mut bundle: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let [high, low, rest @ ..] = bundle {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        all.push(entry);
        bundle = rest;
    }
    all
}

/// The entry is in the tree by this path, and another is not.
fn included(path: &Vec<Hash>, of: &Checkpoint, index: u64, entry: &[u8]) {
    let check = |leaf| check_record(path, of.size(), *of.hash(), index, leaf);
    check(record_hash(entry)).expect("an inclusion proof that holds");
    check(record_hash(&[entry, b"x"].concat())).expect_err("another entry");
}

/// The log of the later checkpoint begins with the earlier one by this path, and with nothing else.
fn consistent(path: &Vec<Hash>, new: &Checkpoint, old: &Checkpoint) {
    let check = |root| check_tree(path, new.size(), *new.hash(), old.size(), root);
    check(*old.hash()).expect("a consistency proof that holds");
    check(record_hash(b"x")).expect_err("another root");
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let log = Log(arguments.next().expect("HOST:PORT"));
    let key = arguments.next().expect("a key");
    let newest = open(&log.get("/log/checkpoint"), &key);
    let tree = TileHashReader::new(newest.size(), *newest.hash(), &log);
    let mut checked = 0;
    while checked < newest.size() {
        let width = (newest.size() - checked).min(256);
        let part = if width < 256 { format!(".p/{width}") } else { String::new() };
        // Enough for the logs of tests: below 256,000 entries.
        let bundle = log.get(&format!("/log/tile/entries/{:03}{part}", checked / 256));
        for entry in entries(&bundle) {
            let path =
                prove_record(newest.size(), checked, &tree).expect("tiles that fit the root");
            included(&path, &newest, checked, entry);
            checked += 1;
        }
    }
    let mut old = None;
    let (mut proofs, mut consistencies) = (0, 0);
    while let Some(argument) = arguments.next() {
        let read = |name: &str| std::fs::read_to_string(name).expect("a file");
        match argument.as_str() {
            "--old" => {
                let earlier = open(read(&arguments.next().expect("a file")).as_bytes(), &key);
                let path =
                    prove_tree(newest.size(), earlier.size(), &tree).expect("tiles that fit");
                consistent(&path, &newest, &earlier);
                consistencies += 1;
                old = Some(earlier);
            }
            "--consistency" => {
                // From the older checkpoint to the one in the file's first part.
                let text = read(&arguments.next().expect("a file"));
                let (hashes, note) = text.split_once("\n\n").expect("hashes and a checkpoint");
                let path = hashes.lines().map(|l| Hash::parse_hash(l).expect("a hash")).collect();
                let later = open(note.as_bytes(), &key);
                consistent(&path, &later, old.as_ref().expect("--old before"));
                consistencies += 1;
            }
            file => {
                let text = read(file);
                let (head, note) = text.split_once("\n\n").expect("two parts");
                let of = open(note.as_bytes(), &key);
                let mut lines = head.lines();
                assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
                let entry = lines.next().and_then(|l| l.strip_prefix("extra ")).expect("an entry");
                let entry = STANDARD.decode(entry).expect("base64");
                let index = lines.next().and_then(|l| l.strip_prefix("index ")).expect("an index");
                let index = index.parse().expect("a number");
                let path = lines.map(|l| Hash::parse_hash(l).expect("a hash")).collect();
                included(&path, &of, index, &entry);
                proofs += 1;
            }
        }
    }
    println!("{checked} entries, {proofs} proofs, {consistencies} consistencies: good");
}
