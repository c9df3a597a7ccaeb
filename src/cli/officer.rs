//! `chancery request list`, `approve` and `deny`: an officer's part.

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::{admin, output};
use crate::clock::Timestamp;
use crate::telemetry::escaped;
use crate::wire::admin::{Request, Response, WaitingRequest};

/// The longest reason in bytes: it goes into the ledger and to the device.
const MAX_REASON: usize = 500;

/// Shows the requests that wait, or also those that were decided.
pub fn list(pending: bool, common: &Common) -> Result<(), Failure> {
    let Response::Requests(found) = admin::ask(common, Request::RequestList { pending })? else {
        return Err(admin::unexpected());
    };
    found.iter().try_for_each(|request| show(request, common))
}

/// Says yes or no to one request.
pub fn decide(
    approve: bool,
    transaction: &str,
    endpoint: Option<String>,
    reason: &str,
    common: &Common,
) -> Result<(), Failure> {
    let verb = if approve { "approved" } else { "denied" };
    let what = || format!("transaction {} cannot be {verb}", escaped(&transaction, 200));
    if reason.len() > MAX_REASON || reason.chars().any(char::is_control) {
        let cause = "the reason is too long or has control characters";
        return Err(Failure::new(Exit::Usage, what(), cause, "write one short line"));
    }
    let (transaction, reason) = (transaction.to_owned(), reason.to_owned());
    let question =
        Request::RequestDecide { endpoint, transaction: transaction.clone(), approve, reason };
    match admin::ask(common, question)? {
        Response::Requests(decided) => decided.iter().try_for_each(|r| show(r, common)),
        Response::NotFound => Err(Failure::new(
            Exit::Failed,
            format!("transaction {} cannot be {verb}", escaped(&transaction, 200)),
            "no request of this transaction waits",
            "`chancery request list --pending` shows which do",
        )),
        _ => Err(admin::unexpected()),
    }
}

fn show(request: &WaitingRequest, common: &Common) -> Result<(), Failure> {
    output::write(&if common.json { as_json(request) } else { as_line(request) })
}

fn as_line(r: &WaitingRequest) -> String {
    let names: String = r.san.iter().map(|n| format!(" {}", escaped(n, 200))).collect();
    let decided = match r.decided.as_str() {
        "" => String::new(),
        decided => format!("  ({})", escaped(&decided, 600)),
    };
    format!(
        "{}  {:<8}  {}  {}  \"{}\"{names}  key {}  from {}{decided}\n",
        escaped(&r.transaction, 256),
        escaped(&r.state, 64),
        Timestamp::from_unix_millis(r.time),
        escaped(&r.endpoint, 64),
        escaped(&r.subject, 600),
        escaped(&r.key, 64),
        escaped(&r.source, 64),
    )
}

fn as_json(r: &WaitingRequest) -> String {
    let value = serde_json::json!({
        "transaction": r.transaction,
        "endpoint": r.endpoint,
        "state": r.state,
        "sequence": r.sequence,
        "time": Timestamp::from_unix_millis(r.time).to_string(),
        "subject": r.subject,
        "san": r.san,
        "key": r.key,
        "source": r.source,
        "decided": r.decided,
    });
    format!("{value}\n")
}
