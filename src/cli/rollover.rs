//! `chancery ca rollover`: the steps from one CA to the next.

use clap::Subcommand;
use serde_json::{Value, json};

use super::command::Common;
use super::failure::Failure;
use super::{admin, output};
use crate::telemetry::escaped;
use crate::wire::admin::{Request, Response, Rollover, RolloverStep};

/// What to do. CA is always the old one, whose section of the configuration names the next.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show how far each rollover is
    Show,
    /// Announce the next CA (GetNextCACert) and accept requests to it
    Stage {
        /// The CA that is to be followed; `next` in its section names the follower
        #[arg(value_name = "CA")]
        ca: String,
    },
    /// Let the endpoints offer the next CA; requests to the old one are still served
    Activate {
        /// The CA that is followed
        #[arg(value_name = "CA")]
        ca: String,
    },
    /// Serve no requests to the old CA any more; its CRL goes on
    Retire {
        /// The CA that is followed
        #[arg(value_name = "CA")]
        ca: String,
    },
}

/// Runs `command`.
pub fn run(command: &Command, common: &Common) -> Result<(), Failure> {
    let step = |ca: &str, step| Request::RolloverStep { ca: ca.to_owned(), step };
    let request = match command {
        Command::Show => Request::RolloverList,
        Command::Stage { ca } => step(ca, RolloverStep::Stage),
        Command::Activate { ca } => step(ca, RolloverStep::Activate),
        Command::Retire { ca } => step(ca, RolloverStep::Retire),
    };
    let Response::Rollovers(all) = admin::ask(common, request)? else {
        return Err(admin::unexpected());
    };
    if common.json {
        return output::json(&Value::Array(all.iter().map(as_json).collect()));
    }
    if all.is_empty() {
        output::note(
            "No CA of the configuration names a next one; see: config explain ca.NAME.next",
        );
    }
    output::write(&all.iter().map(as_text).collect::<String>())
}

fn as_text(rollover: &Rollover) -> String {
    let (ca, next) = (escaped(&rollover.ca, 64), escaped(&rollover.next, 64));
    let meaning = match (rollover.state.as_str(), rollover.announced) {
        ("planned", _) => format!("nothing is announced; next: chancery ca rollover stage {ca}"),
        ("staged", true) => format!(
            "GetNextCACert announces {next}, requests to both are served; when the devices know it: \
             chancery ca rollover activate {ca}"
        ),
        ("staged", false) => {
            "requests to both are served, but GetNextCACert has no answer yet: see the signer's log"
                .to_owned()
        }
        ("activated", _) => format!(
            "the endpoints offer {next}, requests to {ca} are still served; when no device asks {ca} \
             any more: chancery ca rollover retire {ca}"
        ),
        _ => format!("{ca} issues no more; keep its section while its certificates live"),
    };
    format!("{ca} to {next}: {}\n  {meaning}\n", escaped(&rollover.state, 32))
}

fn as_json(rollover: &Rollover) -> Value {
    json!({
        "ca": rollover.ca,
        "next": rollover.next,
        "state": rollover.state,
        "announced": rollover.announced,
    })
}
