//! The folder of a ceremony.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::RunError;

/// Where the files go.
pub enum Output {
    /// A folder: `plan.toml`, `transcript.jsonl`, `artefacts/`.
    Folder(PathBuf),
    /// Memory.
    Memory(BTreeMap<String, Vec<u8>>),
}

impl Output {
    /// A new folder, which must be empty or absent, with the plan in it.
    pub fn create(folder: &Path, plan: &str) -> Result<Self, RunError> {
        let failed = |cause| RunError::File { path: folder.into(), cause };
        fs::create_dir_all(folder.join("artefacts")).map_err(failed)?;
        let output = Self::Folder(folder.into());
        output.put(&folder.join("plan.toml"), plan.as_bytes())?;
        Ok(output)
    }

    /// An existing folder of an interrupted ceremony.
    pub fn existing(folder: &Path) -> Self {
        Self::Folder(folder.into())
    }

    /// The transcript's place.
    pub fn transcript(folder: &Path) -> PathBuf {
        folder.join("transcript.jsonl")
    }

    /// Writes `artefacts/NAME`. What is there already must be the same.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join("artefacts").join(name);
                match fs::read(&path) {
                    Ok(found) if found == bytes => return Ok(()),
                    Ok(_) => {
                        return Err(RunError::Refused(format!(
                            "{} is there already with other content; nothing is overwritten",
                            path.display()
                        )));
                    }
                    Err(_) => {}
                }
                Self::Folder(folder.clone()).put(&path, bytes)
            }
            Self::Memory(files) => {
                files.insert(name.to_owned(), bytes.to_vec());
                Ok(())
            }
        }
    }

    /// Reads `artefacts/NAME`.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, RunError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join("artefacts").join(name);
                fs::read(&path).map_err(|cause| RunError::File { path, cause })
            }
            Self::Memory(files) => files
                .get(name)
                .cloned()
                .ok_or_else(|| RunError::Refused(format!("there is no file {name}"))),
        }
    }

    /// The path of `artefacts/NAME`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join("artefacts").join(name),
            Self::Memory(_) => PathBuf::from(name),
        }
    }

    /// Writes a new file durably: first under another name, so that a crash leaves no half of it.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), RunError> {
        let failed = |cause| RunError::File { path: path.into(), cause };
        let folder = path.parent().unwrap_or(Path::new("."));
        if path.exists() {
            return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let new = folder.join(format!(".{name}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new)
            .map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&new, path).map_err(failed)?;
        File::open(folder).and_then(|d| d.sync_all()).map_err(failed)
    }
}
