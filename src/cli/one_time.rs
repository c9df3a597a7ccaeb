//! `chancery challenge issue`, `list` and `revoke`: one-time challenges of a running signer.

use std::time::Duration;

use zeroize::Zeroizing;

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::{admin, environment, output};
use crate::clock::Timestamp;
use crate::config::parse_duration;
use crate::telemetry::escaped;
use crate::wire::admin::{ChallengeOrder, ChallengeStatus, NewChallenge, Request, Response};

/// What to make.
#[derive(Debug, clap::Args)]
pub struct Issue {
    /// The endpoint's name in the configuration
    endpoint: String,
    /// The subject that the request must have, as "O=Example,CN=device-7"; without it any that the
    /// profile allows
    #[arg(long, value_name = "DN")]
    subject: Option<String>,
    /// An alternative name that the request must have, as dns:host.example, ip:192.0.2.1,
    /// email:, uri: or upn:; it must have exactly those that are given
    #[arg(long, value_name = "KIND:NAME", requires = "subject")]
    san: Vec<String>,
    /// How many certificates it is good for
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    uses: u32,
    /// How long it is good
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    expires: Duration,
    /// How many to make, all alike
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    count: u32,
    /// Print id, challenge, endpoint, expiry, subject, names and transaction ID as comma-separated
    /// values
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write it as 24h, 90m or 7d".into())
}

/// Makes challenges and shows them, the only time.
pub fn issue(issue: Issue, common: &Common) -> Result<(), Failure> {
    environment::harden()?;
    let order = ChallengeOrder {
        endpoint: issue.endpoint,
        subject: issue.subject,
        san: issue.san,
        uses: issue.uses,
        lifetime: u64::try_from(issue.expires.as_millis()).unwrap_or(u64::MAX),
        count: issue.count,
    };
    let Response::NewChallenges(made) = admin::ask(common, Request::ChallengeIssue(order.clone()))?
    else {
        return Err(admin::unexpected());
    };
    if common.json {
        for challenge in &made {
            output::write(&as_json(&order, challenge))?;
        }
        return Ok(());
    }
    if issue.csv {
        output::write("id,challenge,endpoint,expires,subject,san,transaction_id\n")?;
    }
    for challenge in &made {
        let line = if issue.csv { as_csv(&order, challenge) } else { as_text(challenge) };
        output::write(&line)?;
    }
    output::note("No challenge is kept in clear anywhere: give them to the devices now.");
    if made.iter().any(|m| m.transaction_id.is_some()) {
        output::note(
            "A device whose key cannot decrypt (EC) encrypts its request under the challenge and uses the \
             transaction ID beside it; other devices need it not.",
        );
    }
    Ok(())
}

fn clear(challenge: &NewChallenge) -> Zeroizing<String> {
    Zeroizing::new(String::from_utf8_lossy(challenge.challenge.0.expose()).into_owned())
}

fn as_text(made: &NewChallenge) -> Zeroizing<String> {
    let expires = Timestamp::from_unix_millis(made.expires);
    let challenge = clear(made);
    let id = made.transaction_id.as_ref();
    let id = id.map_or_else(String::new, |id| format!("  transaction ID {id}"));
    Zeroizing::new(format!("{}  id {}  until {expires}{id}\n", challenge.as_str(), made.id))
}

fn as_json(order: &ChallengeOrder, made: &NewChallenge) -> Zeroizing<String> {
    let value = serde_json::json!({
        "id": made.id,
        "challenge": clear(made).as_str(),
        "endpoint": order.endpoint,
        "expires": Timestamp::from_unix_millis(made.expires).to_string(),
        "subject": order.subject,
        "san": order.san,
        "uses": order.uses,
        "transaction_id": made.transaction_id,
    });
    Zeroizing::new(format!("{value}\n"))
}

fn as_csv(order: &ChallengeOrder, made: &NewChallenge) -> Zeroizing<String> {
    let challenge = clear(made);
    let fields = [
        made.id.to_string(),
        order.endpoint.clone(),
        Timestamp::from_unix_millis(made.expires).to_string(),
        order.subject.clone().unwrap_or_default(),
        order.san.join(" "),
        made.transaction_id.clone().unwrap_or_default(),
    ]
    .map(|field| quoted(&field));
    let [id, endpoint, expires, subject, san, transaction] = fields;
    let challenge = challenge.as_str();
    Zeroizing::new(format!("{id},{challenge},{endpoint},{expires},{subject},{san},{transaction}\n"))
}

/// A field of RFC 4180, in quotes where it needs them.
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

/// Shows every challenge and how it stands.
pub fn list(common: &Common) -> Result<(), Failure> {
    let Response::Challenges(found) = admin::ask(common, Request::ChallengeList)? else {
        return Err(admin::unexpected());
    };
    found
        .iter()
        .try_for_each(|c| output::write(&if common.json { status_json(c) } else { status_line(c) }))
}

fn status_line(c: &ChallengeStatus) -> String {
    let bound = match &c.subject {
        None => String::new(),
        Some(subject) => {
            let names: String = c.san.iter().map(|n| format!(" {}", escaped(n, 200))).collect();
            format!("  subject \"{}\"{names}", escaped(subject, 500))
        }
    };
    format!(
        "{:>8}  {:<7}  {}  {} of {} used  until {}{bound}\n",
        c.id,
        escaped(&c.state, 64),
        escaped(&c.endpoint, 64),
        c.used,
        c.uses,
        Timestamp::from_unix_millis(c.expires),
    )
}

fn status_json(c: &ChallengeStatus) -> String {
    let value = serde_json::json!({
        "id": c.id,
        "endpoint": c.endpoint,
        "state": c.state,
        "made": Timestamp::from_unix_millis(c.made).to_string(),
        "expires": Timestamp::from_unix_millis(c.expires).to_string(),
        "uses": c.uses,
        "used": c.used,
        "subject": c.subject,
        "san": c.san,
    });
    format!("{value}\n")
}

/// Withdraws a challenge.
pub fn revoke(id: u64, common: &Common) -> Result<(), Failure> {
    match admin::ask(common, Request::ChallengeRevoke { id })? {
        Response::Done => Ok(()),
        Response::NotFound => Err(Failure::new(
            Exit::Failed,
            format!("challenge {id} cannot be revoked"),
            "the ledger has no challenge of that number",
            "`chancery challenge list` shows which there are",
        )),
        _ => Err(admin::unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_keeps_fields_apart() {
        for (field, written) in
            [("a", "a"), ("O=a,CN=b", "\"O=a,CN=b\""), ("a\"b", "\"a\"\"b\""), ("", "")]
        {
            assert_eq!(quoted(field), written);
        }
    }
}
