//! The files of a laboratory, and the folder in which they are made before they get their place.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output;

/// The names of a laboratory's files under its folder.
#[derive(Clone, Debug)]
pub struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// Of the laboratory in `folder`, an absolute path.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.folder.join("chancery.toml")
    }

    /// SoftHSM's configuration.
    pub fn softhsm_conf(&self) -> PathBuf {
        self.folder.join("softhsm2.conf")
    }

    /// Where SoftHSM keeps its tokens.
    pub fn tokens(&self) -> PathBuf {
        self.folder.join("tokens")
    }

    /// The token's user PIN.
    pub fn pin(&self) -> PathBuf {
        self.folder.join("pin")
    }

    /// The PIN of the token's security officer.
    pub fn so_pin(&self) -> PathBuf {
        self.folder.join("so-pin")
    }

    /// A certificate, by its name.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join("certificates").join(format!("{name}.pem"))
    }

    /// The signer's state.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The signer's secrets.
    pub fn secrets(&self) -> PathBuf {
        self.folder.join("state/secrets")
    }

    /// The sockets.
    pub fn run(&self) -> PathBuf {
        self.folder.join("run")
    }
}

/// The folder in which the laboratory is made. What is in it when this is dropped is removed.
#[derive(Debug)]
pub struct Staging {
    layout: Layout,
    wanted: PathBuf,
    done: bool,
}

impl Staging {
    /// The name of the folder for the laboratory `wanted` while the process `process` makes it.
    fn folder(wanted: &Path, process: u32) -> PathBuf {
        let name = wanted.file_name().unwrap_or_default().to_string_lossy().into_owned();
        wanted.with_file_name(format!(".{name}.init-{process}"))
    }

    /// The staging folder of this process for the laboratory `wanted`. It is made unless `resumed`,
    /// which this process is after it replaced itself.
    pub fn enter(wanted: &Path, resumed: bool) -> Result<Self, Failure> {
        let folder = Self::folder(wanted, std::process::id());
        if !resumed {
            check_free(wanted)?;
            mention_leftovers(wanted);
            let parent = wanted.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(parent).map_err(|e| failed(parent, &e))?;
            private_folder(&folder)?;
        }
        let staging = Self { layout: Layout::new(folder), wanted: wanted.to_owned(), done: false };
        if !resumed {
            let layout = &staging.layout;
            for folder in [layout.tokens(), layout.state(), layout.secrets(), layout.run()] {
                private_folder(&folder)?;
            }
            private_folder(&layout.folder.join("certificates"))?;
        }
        Ok(staging)
    }

    /// The files while they are made.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The files as they will be.
    pub fn wanted(&self) -> Layout {
        Layout::new(self.wanted.clone())
    }

    /// Gives everything its place.
    pub fn finish(mut self) -> Result<(), Failure> {
        check_free(&self.wanted)?;
        fs::rename(&self.layout.folder, &self.wanted).map_err(|e| failed(&self.wanted, &e))?;
        self.done = true;
        let parent = self.wanted.parent().unwrap_or(Path::new("/"));
        fs::File::open(parent).and_then(|f| f.sync_all()).map_err(|e| failed(parent, &e))
    }

    /// Removes what was made so far, or says what to delete.
    pub fn remove(folder: &Path) {
        // Under another name, so that a thread that still makes files makes none in it.
        let mut name = folder.as_os_str().to_owned();
        name.push("-removed");
        let away = PathBuf::from(name);
        let folder = if fs::rename(folder, &away).is_ok() { &away } else { folder };
        if let Err(e) = fs::remove_dir_all(folder)
            && e.kind() != io::ErrorKind::NotFound
        {
            output::note(&format!(
                "chancery: unfinished files are left ({e}); delete them: rm -r {}",
                folder.display()
            ));
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.done {
            Self::remove(&self.layout.folder);
        }
    }
}

/// Nothing is overwritten: the folder is not there, or empty.
fn check_free(wanted: &Path) -> Result<(), Failure> {
    let conflict = |cause: &str| {
        Failure::new(
            Exit::Conflict,
            "nothing was made",
            format!("{} {cause}", wanted.display()),
            "choose another --dir, or delete that one if nobody needs its keys any more",
        )
    };
    match fs::read_dir(wanted) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(conflict("is there already and not empty")),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            Err(conflict("is there already, or a part of its path is a file"))
        }
        Err(e) => Err(failed(wanted, &e)),
    }
}

/// Says which folders an interrupted run has left behind.
fn mention_leftovers(wanted: &Path) {
    let prefix = Staging::folder(wanted, 0).to_string_lossy().trim_end_matches('0').to_owned();
    let parent = wanted.parent().unwrap_or(Path::new("/"));
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.to_string_lossy().starts_with(&prefix) {
            output::note(&format!(
                "chancery: an interrupted `chancery init` left unfinished files; unless it still runs, \
                 delete them: rm -r {}",
                path.display()
            ));
        }
    }
}

/// Makes a folder for its owner alone.
fn private_folder(path: &Path) -> Result<(), Failure> {
    DirBuilder::new().mode(0o700).create(path).map_err(|e| failed(path, &e))
}

/// Writes a file that is no secret; it must not be there.
pub fn write(path: &Path, content: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    file.and_then(|mut f| f.write_all(content.as_bytes())).map_err(|e| failed(path, &e))
}

fn failed(path: &Path, e: &io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        "nothing was made",
        format!("{}: {e}", path.display()),
        "see that the folder above it is yours to write in, and that its disk is not full",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_nothing_and_success_the_whole() {
        let base = tempfile::tempdir().unwrap();
        let wanted = base.path().join("labs/one");
        let staging = Staging::enter(&wanted, false).unwrap();
        write(&staging.layout().config(), "x").unwrap();
        drop(staging);
        assert_eq!(fs::read_dir(base.path().join("labs")).unwrap().count(), 0);

        let staging = Staging::enter(&wanted, false).unwrap();
        let resumed = {
            write(&staging.layout().config(), "x").unwrap();
            // The process replaces itself here, and nothing is dropped.
            std::mem::forget(staging);
            Staging::enter(&wanted, true).unwrap()
        };
        resumed.finish().unwrap();
        assert_eq!(fs::read_to_string(Layout::new(wanted.clone()).config()).unwrap(), "x");
        assert_eq!(fs::read_dir(base.path().join("labs")).unwrap().count(), 1);

        let failure = Staging::enter(&wanted, false).unwrap_err();
        assert_eq!(failure.exit(), Exit::Conflict);
        assert_eq!(fs::read_to_string(Layout::new(wanted).config()).unwrap(), "x");
    }

    #[test]
    fn an_empty_folder_is_taken_and_a_file_is_not() {
        let base = tempfile::tempdir().unwrap();
        let wanted = base.path().join("lab");
        fs::create_dir(&wanted).unwrap();
        Staging::enter(&wanted, false).unwrap().finish().unwrap();
        assert!(wanted.join("tokens").is_dir());
        let file = base.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert_eq!(Staging::enter(&file, false).unwrap_err().exit(), Exit::Conflict);
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }
}
