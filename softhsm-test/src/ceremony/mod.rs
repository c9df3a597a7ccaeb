//! A production ceremony on SoftHSM, held by people who are played: a terminal, typed names, words, PINs
//! and shares.

mod people;
mod terminal;

use std::fs;
use std::path::Path;

pub use people::People;
use terminal::Terminal;

use crate::{Context as _, Result};

/// The plan `text` with its SoftHSM tokens in `folder`, which gets a `softhsm2.conf` and a folder `tokens`.
///
/// # Errors
///
/// The files that cannot be written.
pub fn with_tokens(text: &str, folder: &Path) -> Result<String> {
    let conf = folder.join("softhsm2.conf");
    let tokens = folder.join("tokens");
    fs::create_dir_all(&tokens).context(tokens.display())?;
    let content =
        format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
    fs::write(&conf, content).context(conf.display())?;
    let environment = format!(
        "profile = \"softhsm2\"\nenvironment = {{ SOFTHSM2_CONF = {:?} }}\n",
        conf.display().to_string()
    );
    Ok(text.replace("profile = \"softhsm2\"\n", &environment))
}
