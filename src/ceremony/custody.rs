//! Shares in people's hands: typing one from paper, and enough of them for the secret.

use zeroize::Zeroizing;

use super::run::{Desk, Question, RunError};
use super::shares::{self, PaperError, Share};
use crate::secret::Secret;

/// Lets a person type the rows of one share, unseen.
pub fn type_share(
    desk: &mut dyn Desk,
    rows: usize,
    rehearsed: Option<&[String]>,
) -> Result<Result<(Share, usize), PaperError>, RunError> {
    let mut typed: Vec<Zeroizing<String>> = Vec::new();
    for row in 0..rows {
        let known = rehearsed.and_then(|r| r.get(row)).map(String::as_str);
        let line = desk.ask_secret(&format!("Row {}:", row + 1), known)?;
        typed.push(Zeroizing::new(String::from_utf8_lossy(line.expose()).into_owned()));
    }
    let lines: Vec<&str> = typed.iter().map(|l| l.as_str()).collect();
    Ok(shares::read(&lines))
}

/// So often shares may be typed wrong, all in all.
const ATTEMPTS: usize = 10;

/// A secret that was put together.
pub struct Collected {
    /// The secret.
    pub secret: Secret,
    /// The shares' numbers.
    pub numbers: Vec<u64>,
    /// How often something was typed that was no new share.
    pub refused: usize,
}

/// Lets people type shares until there are enough, or until too much was typed that is none.
pub fn collect(desk: &mut dyn Desk, name: &str) -> Result<Collected, RunError> {
    let mut collected: Vec<Share> = Vec::new();
    let mut refused = 0;
    while refused < ATTEMPTS {
        let needed = collected.first().map_or(2, |s| usize::from(s.threshold()));
        if collected.len() >= needed {
            let numbers = collected.iter().map(|s| s.number().into()).collect();
            return Ok(Collected { secret: shares::combine(&collected)?, numbers, refused });
        }
        let text = format!("Number of rows of share {} of «{name}»:", collected.len() + 1);
        let answer = desk.ask(&Question { text: &text, rehearsed: "3" })?;
        let Ok(count @ 1..=8) = answer.parse::<usize>() else {
            desk.show("A share has 1 to 8 rows.");
            refused += 1;
            continue;
        };
        match type_share(desk, count, None)? {
            Ok((share, _)) if collected.iter().any(|s| s.number() == share.number()) => {
                desk.show("This share is there already.");
                refused += 1;
            }
            Ok((share, corrected)) => {
                let number = share.number();
                desk.show(&format!("Share {number}; {corrected} characters put right."));
                collected.push(share);
            }
            Err(e) => {
                desk.show(&e.to_string());
                refused += 1;
            }
        }
    }
    Err(RunError::Refused(format!(
        "the shares of «{name}» were typed wrong {ATTEMPTS} times; see that they are of this secret and \
         legible, and try again"
    )))
}
