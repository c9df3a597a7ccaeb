//! The record of signatures: which key, over what.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::OnceLock;

/// Appends a line, in one write; the kernel keeps it when the process is killed.
pub(crate) fn signature(key_id: &[u8], input: &[u8]) {
    static RECORD: OnceLock<Option<File>> = OnceLock::new();
    let record = RECORD.get_or_init(|| {
        let path = std::env::var_os("P11SHIM_RECORD")?;
        match OpenOptions::new().create(true).append(true).open(&path) {
            Ok(file) => Some(file),
            Err(e) => {
                eprintln!("p11shim: {}: {e}", path.display());
                std::process::abort(); // a test without its record shows nothing
            }
        }
    });
    let Some(mut file) = record.as_ref() else { return };
    let line = format!("{} {}\n", hex(key_id), hex(input));
    if let Err(e) = file.write_all(line.as_bytes()) {
        eprintln!("p11shim: the record: {e}");
        std::process::abort();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}
