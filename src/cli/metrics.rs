//! `chancery metrics`: the signer's metrics, for a textfile collector and for looking.

use super::command::Common;
use super::failure::Failure;
use super::{admin, output};
use crate::wire::admin::{Request, Response};

/// Asks the signer and prints its text.
pub fn run(common: &Common) -> Result<(), Failure> {
    match admin::ask(common, Request::Metrics)? {
        Response::Metrics(text) if common.json => {
            output::json(&serde_json::json!({ "prometheus": text }))
        }
        Response::Metrics(text) => output::write(&text),
        _ => Err(admin::unexpected()),
    }
}
