//! `chancery doctor`: what is wrong with an instance, and what to do about it. With `--url` an endpoint
//! as a device sees it, from any host and without a configuration.

mod authority;
mod caps;
mod device;
mod finding;
mod http;
mod instance;
mod running;
mod thumbprint;
mod token;

use clap::Args;

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::clock::{Clock as _, SystemClock};
use finding::Report;

/// What to look at.
#[derive(Debug, Args)]
#[command(after_help = STATUSES)]
pub struct Arguments {
    /// Look at the endpoint at this URL as a device does, and at no configuration
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Leave out what is good
    #[arg(long)]
    problems: bool,
}

const STATUSES: &str = "Exit status: 0 where there is no error (warnings do not count). Otherwise that of the \
worst error: 8 configuration and certificates, 7 the HSM, 5 the admin socket, 1 everything else.";

/// Looks, prints what was found, and fails where something is an error.
pub fn run(arguments: &Arguments, common: &Common) -> Result<(), Failure> {
    let mut report = Report::new(SystemClock.now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| {
        Failure::new(Exit::Failed, "nothing was looked at", e, "mend the cause, then try again")
    })?;
    match &arguments.url {
        Some(url) => {
            let endpoint = http::Endpoint::parse(url).map_err(|cause| {
                let next =
                    "give the endpoint's URL as a device has it: http://HOST:PORT/scep/device";
                Failure::new(Exit::Usage, format!("{url} cannot be looked at"), cause, next)
            })?;
            runtime.block_on(device::examine(&mut report, &endpoint, None));
        }
        None => instance::examine(&mut report, common, &runtime)?,
    }
    if common.json {
        output::json(&report.as_json(arguments.problems))?;
    } else {
        output::write(&report.as_text(arguments.problems))?;
    }
    report.verdict()
}
