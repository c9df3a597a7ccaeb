//! From a file to a [`Config`], or to the list of all that is wrong with it (I9).

use std::io::Read as _;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::files::{self, Role};
use super::model::Config;
use super::reader::Reader;
use super::reload::check as check_changes;
use super::schema::Setting as _;
use super::{cross, error};

/// The only version of the schema that there is.
const VERSION: &str = "1";

/// Where the admin socket is by default; a test holds it against the schema.
const DEFAULT_ADMIN_SOCKET: &str = "/run/chancery/admin.sock";

/// The longest file that is read, in bytes.
const MAX_LENGTH: u64 = 1024 * 1024;

/// Loads the configuration at `path` without looking at any other file. The errors are by line.
pub fn load(path: &Path) -> Result<Config, Vec<ConfigError>> {
    let source = read(path).map_err(|e| vec![e])?;
    parse(path, &source)
}

/// The same, and checks the files and folders that `role` will touch, as the user that it runs as.
pub fn load_for(path: &Path, role: Role) -> Result<Config, Vec<ConfigError>> {
    let source = read(path).map_err(|e| vec![e])?;
    read_document(path, &source, Some(role), None)
}

/// The same for a configuration that is to take the place of `in_force` while the role runs: a change
/// that needs a new start is an error. Without a role no other file is looked at.
pub fn reload(
    path: &Path,
    role: Option<Role>,
    in_force: &Config,
) -> Result<Config, Vec<ConfigError>> {
    let source = read(path).map_err(|e| vec![e])?;
    read_document(path, &source, role, Some(in_force))
}

/// The socket at which the signer of the file at `path` is reached, whatever else is wrong in the file:
/// a signer that runs is asked, and says itself what it thinks of the file.
pub fn admin_socket(path: &Path) -> PathBuf {
    let source = read(path).unwrap_or_default();
    let (document, _) = DeTable::parse_recoverable(&source);
    let signer = document.get_ref().get("signer").and_then(|signer| signer.get_ref().as_table());
    let written = signer.and_then(|signer| signer.get("admin_socket"));
    let key = "signer.admin_socket";
    let found = written.and_then(|v| PathBuf::read(v, key, &mut Reader::new(path, &source)));
    found.unwrap_or_else(|| PathBuf::from(DEFAULT_ADMIN_SOCKET))
}

/// Reads a configuration from its text; `path` is what the errors name and what relative paths start
/// from.
pub fn parse(path: &Path, source: &str) -> Result<Config, Vec<ConfigError>> {
    read_document(path, source, None, None)
}

fn read_document(
    path: &Path,
    source: &str,
    role: Option<Role>,
    in_force: Option<&Config>,
) -> Result<Config, Vec<ConfigError>> {
    let mut reader = Reader::new(path, source);
    let (document, syntax) = DeTable::parse_recoverable(source);
    for error in &syntax {
        // Only the parser's words: its excerpt of the line could show a secret.
        let span = error.span().unwrap_or(0..0);
        let key = source.get(span.clone()).filter(|_| error.message() == "duplicate key");
        if let Some(key) = key {
            reader.fail_at(span, "", format!("{key} is there twice"), "remove one of the two");
            continue;
        }
        reader.fail_at(
            span,
            "",
            format!("this is not TOML: {}", error.message()),
            "correct the line; texts stand in \"quotes\", tables in [brackets] (https://toml.io)",
        );
    }
    if reader.failed() || !version_is_known(document.get_ref(), &mut reader) {
        return Err(reader.into_errors());
    }
    let span = document.span();
    let root = Spanned::new(span, DeValue::Table(document.into_inner()));
    let config = Config::read(&root, "", &mut reader);
    if let Some(config) = config {
        cross::check(&config, &mut reader);
        if let Some(role) = role {
            let before = reader.mark();
            files::check(&config, role, &mut reader);
            // A misspelt key leaves a default in force that nobody means: what is wrong with that would
            // hide the misspelling.
            if before > 0 {
                reader.keep_written(before);
            }
        }
        if let Some(in_force) = in_force {
            check_changes(&config, in_force, &mut reader);
        }
        if !reader.failed() {
            return Ok(config);
        }
    }
    Err(reader.into_errors())
}

/// Whether this file is of our version; of another one nothing else could be judged.
fn version_is_known(document: &DeTable<'_>, reader: &mut Reader<'_>) -> bool {
    let Some(version) = document.get("version") else {
        reader.fail_at(
            0..0,
            "version",
            "the file does not say which version of the schema it follows",
            format!("begin the file with `version = {VERSION}`"),
        );
        return false;
    };
    let known = version.get_ref().as_integer().is_some_and(|v| v.to_string() == VERSION);
    if !known {
        reader.fail_at(
            version.span(),
            "version",
            "this version of the schema is not known to this version of Chancery",
            format!(
                "write `version = {VERSION}`, or install the Chancery that the file was written for"
            ),
        );
    }
    known
}

pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let fail = |problem: String, remedy: &str| ConfigError {
        file: path.to_owned(),
        line: 0,
        column: 0,
        key: String::new(),
        problem,
        remedy: remedy.to_owned(),
    };
    let unreadable = |e: std::io::Error| {
        let remedy = match e.kind() {
            std::io::ErrorKind::NotFound => {
                "name the file by --config, or make a laboratory's by `chancery init --dir DIR`"
            }
            std::io::ErrorKind::PermissionDenied => "run as a user who may read it, or chmod it",
            _ => "see that it is a file that can be read",
        };
        fail(format!("the configuration cannot be read: {e}"), remedy)
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(fail(
            "this is not a file".to_owned(),
            "name the configuration's file, mostly chancery.toml in that folder",
        ));
    }
    if files::writable_by_everybody(&metadata) {
        return Err(fail(
            "every user of this host may change the configuration".to_owned(),
            "chmod o-w the file, and see who changed it last",
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_LENGTH + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_LENGTH {
        return Err(fail(
            format!("the file is longer than {MAX_LENGTH} bytes"),
            "this is hardly a configuration: name the right file",
        ));
    }
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&e.as_bytes()[..valid]).into_owned();
        let (line, column) = error::position(&text, valid);
        ConfigError {
            line,
            column,
            ..fail("the file is not UTF-8 text".to_owned(), "save it as UTF-8")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_socket_is_found_in_a_file_with_errors() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chancery.toml");
        let found = |text: &str| {
            std::fs::write(&file, text).unwrap();
            admin_socket(&file)
        };
        let here = std::fs::canonicalize(folder.path()).unwrap().join("a.sock");
        assert_eq!(found("[signer]\nadmin_socket = \"a.sock\"\nsocket = 7\nrubbish"), here);
        let default = PathBuf::from(DEFAULT_ADMIN_SOCKET);
        assert_eq!(found("[signer]\nadmin_socket = 7\n"), default);
        assert_eq!(found(""), default);
        assert_eq!(admin_socket(&folder.path().join("none")), default);
        let explained = super::super::explain("signer.admin_socket").unwrap();
        assert!(explained.contains(DEFAULT_ADMIN_SOCKET), "{explained}");
    }
}
