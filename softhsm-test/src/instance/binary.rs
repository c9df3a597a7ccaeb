//! Where the `chancery` binary is.

use std::path::{Path, PathBuf};

use crate::error::{Result, fail};

/// The binary under test: `$CHANCERY`, else the one beside the running executable (or beside its
/// `deps/` folder), else the one on the search path.
pub fn chancery() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHANCERY") {
        return Ok(PathBuf::from(path));
    }
    let exe = std::env::current_exe()?;
    let beside = exe.ancestors().skip(1).take(2).map(|folder| folder.join("chancery"));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> =
        std::env::split_paths(&on_path).map(|folder| folder.join("chancery")).collect();
    match beside.chain(on_path).find(|path| is_file(path)) {
        Some(path) => Ok(path),
        None => fail(
            "there is no chancery binary beside this one and none on the PATH: build it with \
             `cargo build`, or name it in the environment variable CHANCERY",
        ),
    }
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file())
}
