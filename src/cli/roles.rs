//! `chancery role`: who may do what through the admin socket.

use clap::Subcommand;

use super::command::Common;
use super::failure::Failure;
use super::output;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show each role, what it may do, and who has it
    Show,
}

/// The roles, what they may, and what they exclude.
const ROLES: [(&str, &str); 4] = [
    ("admin", "everything; root and the signer's own user have it always"),
    ("ca_operator", "look; revoke; make CRLs, roll over, back up; excludes every other role"),
    ("ra_officer", "look; read and decide requests; make and withdraw challenges; revoke"),
    ("auditor", "look, and change nothing; excludes every other role"),
];

/// Runs `command`.
pub fn run(command: &Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::Show => show(common),
    }
}

fn show(common: &Common) -> Result<(), Failure> {
    let config = common.load()?;
    let users = config.roles.by_name();
    let of = |role: &str| {
        users
            .iter()
            .find(|(name, _)| *name == role)
            .map(|(_, users)| users.to_vec())
            .unwrap_or_default()
    };
    if common.json {
        let roles = ROLES
            .map(|(role, may)| serde_json::json!({ "role": role, "may": may, "users": of(role) }));
        return output::json(&serde_json::Value::from(roles.to_vec()));
    }
    let lines = ROLES.map(|(role, may)| {
        let users = of(role);
        let users = if users.is_empty() { "nobody named".to_owned() } else { users.join(", ") };
        format!("{role:<12} {may}\n{:<12} users: {users}\n", "")
    });
    output::write(&lines.concat())
}
