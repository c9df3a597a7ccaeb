//! What is written down for the test: which key signed what, and which rules came true.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::OnceLock;

/// A file that is appended to, if the environment names one.
struct Record {
    variable: &'static str,
    file: OnceLock<Option<File>>,
}

static SIGNATURES: Record = Record { variable: "P11SHIM_RECORD", file: OnceLock::new() };
static PLAYED: Record = Record { variable: "P11SHIM_PLAYED", file: OnceLock::new() };

impl Record {
    /// Appends a line, in one write; the kernel keeps it when the process is killed.
    fn append(&self, line: &str) {
        let open = || {
            let path = std::env::var_os(self.variable)?;
            match OpenOptions::new().create(true).append(true).open(&path) {
                Ok(file) => Some(file),
                Err(e) => {
                    eprintln!("p11shim: {}: {e}", path.display());
                    std::process::abort(); // a test without its record shows nothing
                }
            }
        };
        let Some(mut file) = self.file.get_or_init(open).as_ref() else { return };
        if let Err(e) = file.write_all(format!("{line}\n").as_bytes()) {
            eprintln!("p11shim: {}: {e}", self.variable);
            std::process::abort();
        }
    }
}

/// A signature is about to be asked for.
pub(crate) fn signature(key_id: &[u8], input: &[u8]) {
    SIGNATURES.append(&format!("{} {}", hex(key_id), hex(input)));
}

/// The rule of this line has come true once more.
pub(crate) fn played(rule: &str) {
    PLAYED.append(rule);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}
