//! `chancery crl`: the lists of revoked certificates.

use clap::Subcommand;

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::request::to_pem;
use super::{admin, output};
use crate::clock::Timestamp;
use crate::telemetry::escaped;
use crate::wire::admin::{Crl, Request, Response};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make and publish a new CRL now
    Now {
        /// The CA; all of them without
        #[arg(long, value_name = "NAME")]
        ca: Option<String>,
    },
    /// Show the newest CRL
    Show {
        /// The CA; all of them without
        #[arg(long, value_name = "NAME")]
        ca: Option<String>,
        /// Print the CRL as PEM, and nothing else
        #[arg(long)]
        pem: bool,
    },
}

/// Runs `command`.
pub fn run(command: Command, common: &Common) -> Result<(), Failure> {
    let (request, pem) = match command {
        Command::Now { ca } => (Request::CrlNow { ca }, false),
        Command::Show { ca, pem } => (Request::CrlShow { ca }, pem),
    };
    let lists = match admin::ask(common, request)? {
        Response::Crls(lists) => lists,
        Response::NotFound => {
            return Err(Failure::new(
                Exit::Failed,
                "there is no CRL",
                "no CA of that name signs CRLs, or the first one is not made yet",
                "see [ca.NAME.crl] of the configuration, then run `chancery crl now`",
            ));
        }
        _ => return Err(admin::unexpected()),
    };
    for list in &lists {
        output::write(&match (pem, common.json) {
            (true, _) => to_pem("X509 CRL", &list.der)?,
            (false, true) => format!("{}\n", as_json(list)?),
            (false, false) => as_text(list),
        })?;
    }
    Ok(())
}

fn time(millis: u64) -> String {
    Timestamp::from_unix_millis(millis).to_string()
}

fn as_text(list: &Crl) -> String {
    format!(
        "CA: {}\nnumber: {}\nthis update: {}\nnext update: {}\nentries: {}\n",
        escaped(&list.ca, 64),
        list.number,
        time(list.this_update),
        time(list.next_update),
        list.entries,
    )
}

/// As JSON, with the list as PEM.
pub fn as_json(list: &Crl) -> Result<serde_json::Value, Failure> {
    Ok(serde_json::json!({
        "ca": list.ca,
        "number": list.number,
        "this_update": time(list.this_update),
        "next_update": time(list.next_update),
        "entries": list.entries,
        "crl": to_pem("X509 CRL", &list.der)?,
    }))
}
