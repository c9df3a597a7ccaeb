//! `chancery challenge`: `mac` makes the line of the configuration from a challenge password; the
//! others are in `one_time`.

use std::io::IsTerminal as _;

use clap::Subcommand;

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::{environment, one_time, output, secrets};
use crate::config::Name;
use crate::ra::{ChallengeKey, generate};
use crate::random::SystemRandom;
use crate::secret::Secret;
use crate::telemetry::escaped;

/// The shortest challenge that is taken, in characters: whoever knows it may enrol.
const MIN_LENGTH: usize = 16;

/// The longest; devices have short fields for it.
const MAX_LENGTH: usize = 255;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the line `challenge_mac = …` for an endpoint, from a challenge on standard input
    Mac {
        /// The endpoint's name in the configuration, to which the challenge is bound
        endpoint: String,
        /// Make a new challenge and print it, once
        #[arg(long)]
        generate: bool,
    },
    /// Make one-time challenges and print them, once
    Issue(one_time::Issue),
    /// List the one-time challenges and how they stand
    List,
    /// Revoke a one-time challenge before its use
    Revoke {
        /// Its number, as `issue` and `list` print it
        id: u64,
    },
}

/// Runs `command`.
pub fn run(command: Command, common: &Common) -> Result<(), Failure> {
    let (endpoint, fresh) = match command {
        Command::Mac { endpoint, generate } => (endpoint, generate),
        Command::Issue(issue) => return one_time::issue(issue, common),
        Command::List => return one_time::list(common),
        Command::Revoke { id } => return one_time::revoke(id, common),
    };
    environment::harden()?;
    let config = common.load()?;
    if !config.endpoint.contains_key(endpoint.as_str()) {
        let names: Vec<&str> = config.endpoint.keys().map(Name::as_str).collect();
        let cause = format!("the configuration has no [endpoint.{}]", escaped(&endpoint, 64));
        return Err(failed(&cause, format!("name one of: {}", names.join(", "))));
    }
    let challenge = if fresh {
        generate(&SystemRandom).map_err(|e| failed(&e, "see the cause"))?
    } else {
        typed()?
    };
    let path = config.signer.challenge_key();
    let first = !path.exists();
    let key = secrets::key(&path, &SystemRandom)?;
    if first {
        output::note(&format!(
            "The key {} was made. No challenge_mac from before holds under it.",
            path.display()
        ));
    }
    let key = ChallengeKey::new(key).map_err(|e| failed(&e, "see the cause"))?;
    let mac = key.mac(&endpoint, &challenge).map_err(|e| failed(&e, "report this as a defect"))?;
    // The one time that a challenge is shown: it was made for this.
    let shown = fresh.then(|| String::from_utf8_lossy(challenge.expose()).into_owned());
    if common.json {
        let mac = mac.to_string();
        return output::json(&serde_json::json!({ "challenge": shown, "challenge_mac": mac }));
    }
    if let Some(shown) = shown {
        output::write(&format!("challenge: {shown}\n"))?;
        output::note("The challenge is not kept anywhere: give it to the devices now.");
    }
    output::note(&format!("Put this line under [endpoint.{endpoint}] and restart the signer:"));
    output::write(&format!("challenge_mac = \"{mac}\"\n"))
}

/// A challenge from standard input, asked for twice at a terminal.
fn typed() -> Result<Secret, Failure> {
    let challenge = check(secrets::from_stdin("Challenge password")?)?;
    if std::io::stdin().is_terminal() {
        let again = secrets::from_stdin("The same again")?;
        if !challenge.ct_eq(again.expose()) {
            return Err(failed(&"the two are not the same", "run the command again"));
        }
    }
    Ok(challenge)
}

/// Refuses what could be guessed or what devices would send otherwise than it was typed.
pub fn check(challenge: Secret) -> Result<Secret, Failure> {
    let generated = "or let one be made by --generate";
    let Ok(text) = std::str::from_utf8(challenge.expose()) else {
        return Err(failed(
            &"the challenge is not UTF-8 text",
            format!("type another, {generated}"),
        ));
    };
    let length = text.chars().count();
    if length < MIN_LENGTH {
        let cause = format!("the challenge has {length} characters: who guesses it may enrol");
        return Err(failed(&cause, format!("take at least {MIN_LENGTH} characters, {generated}")));
    }
    if text.len() > MAX_LENGTH {
        let cause = format!("the challenge has {} bytes", text.len());
        return Err(failed(&cause, format!("take at most {MAX_LENGTH}, {generated}")));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        let cause = "the challenge has white space at an end or control characters";
        return Err(failed(&cause, format!("remove them: devices would lose them, {generated}")));
    }
    Ok(challenge)
}

fn failed(cause: &dyn std::fmt::Display, next: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, "the challenge cannot be used", cause, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_and_fragile_challenges_are_refused() {
        let checked = |text: &str| check(Secret::new(text.as_bytes().to_vec()));
        assert!(checked("correct horse battery").is_ok());
        assert!(check(generate(&SystemRandom).unwrap()).is_ok());
        let long = "x".repeat(256);
        for bad in [
            "",
            "                ",
            "short",
            " leading white space",
            "with\0a control character",
            &long,
        ] {
            let failure = checked(bad).unwrap_err().to_string();
            assert!(bad.trim().is_empty() || !failure.contains(bad), "{failure}");
        }
        assert!(check(Secret::new(vec![0xff; 20])).is_err());
    }
}
