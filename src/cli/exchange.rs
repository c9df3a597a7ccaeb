//! `chancery exchange`: messages between an offline and an online CA.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::ceremony::exchange::{Item, Kind, Verified, read};
use crate::ceremony::words;
use crate::clock::{Clock as _, SystemClock, Timestamp};

/// Look at messages between an offline and an online CA.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify a message and say what it carries
    Show(Show),
    /// Take the files out of a response, if it answers the request
    Import(Import),
}

/// Verify a message.
#[derive(Debug, Args)]
pub struct Show {
    /// The message
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Take the files out of a response.
#[derive(Debug, Args)]
pub struct Import {
    /// The response
    #[arg(value_name = "RESPONSE")]
    response: PathBuf,
    /// The request that it must answer
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// SHA-256 of the key that signed it, from the offline ceremony's paper
    #[arg(long, value_name = "SHA256")]
    signer: String,
    /// The folder for the files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs the subcommand.
pub fn run(command: Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::Show(arguments) => show(&verified(&arguments.file)?, common),
        Command::Import(arguments) => import(&arguments, common),
    }
}

fn verified(path: &Path) -> Result<Verified, Failure> {
    let what = || format!("{} is not accepted", path.display());
    let bytes = std::fs::read(path)
        .map_err(|e| Failure::new(Exit::Failed, what(), e, "see that it is there"))?;
    read(&bytes)
        .map_err(|e| Failure::new(Exit::Integrity, what(), e, "fetch it again from its ceremony"))
}

fn show(message: &Verified, common: &Common) -> Result<(), Failure> {
    let kind = match message.payload.kind {
        Kind::Request => "request",
        Kind::Response => "response",
    };
    let expires = Timestamp::from_unix_seconds(message.payload.expires);
    if common.json {
        let item = |i: &Item| serde_json::json!({ "name": i.name, "form": i.form });
        return output::json(&serde_json::json!({
            "kind": kind,
            "expires": expires.to_string(),
            "signer_sha256": message.signer_sha256(),
            "items": message.payload.items.iter().map(item).collect::<Vec<_>>(),
        }));
    }
    let mut text = format!(
        "{kind}, to be imported until {expires}\nsigned by {}\n  {}\n",
        message.signer_sha256(),
        words::words(&message.signer.fingerprint())
    );
    for item in &message.payload.items {
        text.push_str(&format!(
            "carries {} ({})\n",
            item.name.escape_debug(),
            item.form.escape_debug()
        ));
    }
    output::write(&text)
}

fn import(arguments: &Import, common: &Common) -> Result<(), Failure> {
    let refused = |e: &dyn std::fmt::Display| {
        let what = format!("{} is not accepted", arguments.response.display());
        Failure::new(Exit::Integrity, what, e, "import nothing; ask the offline CA")
    };
    let (response, request) = (verified(&arguments.response)?, verified(&arguments.request)?);
    request
        .check(Kind::Request, None, Timestamp::from_unix_seconds(request.payload.created))
        .map_err(|e| refused(&e))?;
    response
        .check(Kind::Response, Some(&arguments.signer), SystemClock.now())
        .map_err(|e| refused(&e))?;
    response.answers(&request).map_err(|e| refused(&e))?;
    std::fs::create_dir_all(&arguments.out).map_err(|e| refused(&e))?;
    for item in &response.payload.items {
        let bytes = item.bytes().map_err(|e| refused(&e))?;
        let path = arguments.out.join(&item.name);
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).open(&path).map_err(|e| {
                // The same response imported twice is told here: a nonce is good for once.
                Failure::new(
                    Exit::Conflict,
                    format!("{} was not written", path.display()),
                    e,
                    "name a new folder; a response is imported once",
                )
            })?;
        std::io::Write::write_all(&mut file, &bytes)
            .and_then(|()| file.sync_all())
            .map_err(|e| refused(&e))?;
        match common.json {
            true => output::json(&serde_json::json!({ "file": path.display().to_string() }))?,
            false => output::write(&format!("{}\n", path.display()))?,
        }
    }
    Ok(())
}
