//! The people's side: what they see and type.

use zeroize::Zeroizing;

use super::RunError;
use crate::secret::Secret;

/// The PIN of every token in a rehearsal without people: everybody knows it, and it opens nothing else.
pub(super) const REHEARSED_PIN: &str = "REHEARSEDREHEARSED00";

/// A question to the people.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// What is asked.
    pub text: &'a str,
    /// What an automatic desk answers in a rehearsal.
    pub rehearsed: &'a str,
}

/// What the people see and type. Everything that is typed at [`Desk::ask`] may go to the transcript.
pub trait Desk {
    /// Shows text.
    fn show(&mut self, text: &str);

    /// Asks for one line.
    fn ask(&mut self, question: &Question<'_>) -> Result<String, RunError>;

    /// Asks for one line that is not shown while it is typed. `rehearsed` is what an automatic desk
    /// types.
    fn ask_secret(&mut self, text: &str, rehearsed: Option<&str>) -> Result<Secret, RunError>;

    /// Shows a secret on a screen of its own, which is wiped when the person is done.
    fn show_secret(&mut self, title: &str, lines: &[String]) -> Result<(), RunError>;

    /// Whether people sit there; an automatic desk's answers are marked as such.
    fn is_human(&self) -> bool;
}

/// Answers every question by itself: for rehearsals, dry runs and checks of plans.
pub struct AutomaticDesk {
    quiet: bool,
    shown: Vec<String>,
}

impl AutomaticDesk {
    /// With the dialogue on standard output.
    pub fn new() -> Self {
        Self { quiet: false, shown: Vec::new() }
    }

    /// Without any output.
    pub fn quiet() -> Self {
        Self { quiet: true, shown: Vec::new() }
    }

    fn line(&mut self, text: String) {
        if !self.quiet {
            crate::ceremony::terminal::print(&text);
        }
        self.shown.push(text);
    }
}

impl Default for AutomaticDesk {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk for AutomaticDesk {
    fn show(&mut self, text: &str) {
        self.line(text.to_owned());
    }

    fn ask(&mut self, question: &Question<'_>) -> Result<String, RunError> {
        self.line(format!("{} {}", question.text, question.rehearsed));
        Ok(question.rehearsed.to_owned())
    }

    fn ask_secret(&mut self, text: &str, rehearsed: Option<&str>) -> Result<Secret, RunError> {
        self.line(format!("{text} (typed unseen)"));
        let typed = Zeroizing::new(rehearsed.unwrap_or(REHEARSED_PIN).to_owned());
        Ok(Secret::new(typed.as_bytes().to_vec()))
    }

    fn show_secret(&mut self, title: &str, lines: &[String]) -> Result<(), RunError> {
        self.line(format!("[a screen of its own: {title}, {} lines]", lines.len()));
        Ok(())
    }

    fn is_human(&self) -> bool {
        false
    }
}
