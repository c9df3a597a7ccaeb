//! `chancery request`: `show`; the officer's part is in `officer`.

use clap::Subcommand;
use der::pem::{LineEnding, encode_string};

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::{admin, officer, output};
use crate::telemetry::escaped;
use crate::wire::admin::{Request, Response, Transaction};

/// What to show.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the request of a transaction and what came of it
    Show {
        /// The transaction ID as the device sent it (it is in the log)
        transaction: String,
        /// The endpoint, where several know the transaction
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
        /// Print the device's PKCS#10 request as PEM, and nothing else
        #[arg(long)]
        pem: bool,
    },
    /// List the requests that wait for an officer or were decided by one
    List {
        /// Only those that wait
        #[arg(long)]
        pending: bool,
    },
    /// Grant a request that waits; the device gets its certificate when it asks next
    Approve {
        /// The transaction ID as `list` prints it
        transaction: String,
        /// The endpoint, where it waits at several
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
    },
    /// Refuse a request that waits
    Deny {
        /// The transaction ID as `list` prints it
        transaction: String,
        /// The endpoint, where it waits at several
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
        /// Why; it goes into the ledger, and the device is told
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Runs `command`.
pub fn run(command: Command, common: &Common) -> Result<(), Failure> {
    let (transaction, endpoint, pem) = match command {
        Command::Show { transaction, endpoint, pem } => (transaction, endpoint, pem),
        Command::List { pending } => return officer::list(pending, common),
        Command::Approve { transaction, endpoint } => {
            return officer::decide(true, &transaction, endpoint, "", common);
        }
        Command::Deny { transaction, endpoint, reason } => {
            return officer::decide(false, &transaction, endpoint, &reason, common);
        }
    };
    let request = Request::RequestShow { endpoint, transaction: transaction.clone() };
    let found = match admin::ask(common, request)? {
        Response::Transactions(found) => found,
        Response::NotFound => Vec::new(),
        _ => return Err(admin::unexpected()),
    };
    let what = || format!("transaction {} cannot be shown", escaped(&transaction, 200));
    match found.as_slice() {
        [] => Err(Failure::new(
            Exit::Failed,
            what(),
            "the ledger has no such transaction",
            "take the ID from the log; a request that was refused before it was reserved is only there",
        )),
        [only] if pem => output::write(&to_pem("CERTIFICATE REQUEST", &only.request)?),
        many if pem => {
            let endpoints: Vec<String> = many.iter().map(|t| escaped(&t.endpoint, 64)).collect();
            let cause = format!("it is known at the endpoints {}", endpoints.join(", "));
            Err(Failure::new(Exit::Conflict, what(), cause, "name one by --endpoint"))
        }
        all if common.json => {
            let list = all.iter().map(|t| as_json(&transaction, t)).collect::<Result<_, _>>()?;
            output::json(&serde_json::Value::Array(list))
        }
        all => all.iter().try_for_each(|t| output::write(&as_text(&transaction, t)?)),
    }
}

fn as_text(id: &str, t: &Transaction) -> Result<String, Failure> {
    let request = to_pem("CERTIFICATE REQUEST", &t.request)?;
    let certificate = t.certificate.as_ref().map(|der| to_pem("CERTIFICATE", der)).transpose()?;
    Ok(format!(
        "transaction: {}\nendpoint: {}\nstate: {}\nledger entry: {}\n{request}{}",
        escaped(&id, 200),
        escaped(&t.endpoint, 64),
        escaped(&t.state, 64),
        t.sequence,
        certificate.unwrap_or_default(),
    ))
}

fn as_json(id: &str, t: &Transaction) -> Result<serde_json::Value, Failure> {
    Ok(serde_json::json!({
        "transaction": id,
        "endpoint": t.endpoint,
        "state": t.state,
        "sequence": t.sequence,
        "request": to_pem("CERTIFICATE REQUEST", &t.request)?,
        "certificate": t.certificate.as_ref().map(|der| to_pem("CERTIFICATE", der)).transpose()?,
    }))
}

/// PEM (RFC 7468) with its newline.
pub fn to_pem(label: &'static str, der: &[u8]) -> Result<String, Failure> {
    encode_string(label, LineEnding::LF, der).map_err(|e| {
        Failure::new(Exit::Failed, "the PEM text could not be made", e, "report this as a defect")
    })
}
