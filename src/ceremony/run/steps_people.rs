//! Steps that people do.

use super::RunError;
use super::room::Room;
use crate::ceremony::plan::{Exhibit, HumanAttest, HumanCheck};
use crate::ceremony::transcript::Fact;

impl Room<'_> {
    pub(super) fn check(&mut self, step: &str, s: &HumanCheck) -> Result<(), RunError> {
        let person = self.holder(&s.role)?;
        self.desk.show(&s.text);
        let rehearsed = s.expect.clone().unwrap_or_else(|| "seen".into());
        let text = format!("{} ({}) answers:", person.name, person.role);
        let answer = self.ask(step, &text, &rehearsed)?;
        if let Some(expected) = &s.expect
            && !expected.eq_ignore_ascii_case(&answer)
        {
            self.waive(step, &format!("«{answer}» was answered, and «{expected}» is expected"))?;
        }
        self.state(step, &person.name, &person.role, &s.text, answer)
    }

    pub(super) fn attest(&mut self, step: &str, s: &HumanAttest) -> Result<(), RunError> {
        for person in self.holders(&s.role) {
            self.desk.show(&s.text);
            let text = format!(
                "{} ({}) types «I attest», or what is to be said:",
                person.name, person.role
            );
            let answer = self.ask(step, &text, "I attest")?;
            if answer.is_empty() {
                return Err(Self::stop(step, format!("{} attests nothing", person.name)));
            }
            self.state(step, &person.name, &person.role, &s.text, answer)?;
        }
        Ok(())
    }

    pub(super) fn exhibit(&mut self, step: &str, s: &Exhibit) -> Result<(), RunError> {
        let person = self.holder(&s.role)?;
        self.desk.show(&format!("Exhibit: {}", s.name));
        for field in &s.fields {
            let text = format!("{} reads out the {field}:", person.name);
            let answer = self.ask(step, &text, "rehearsed")?;
            let about = format!("{}: {field}", s.name);
            self.state(step, &person.name, &person.role, &about, answer)?;
        }
        Ok(())
    }

    fn state(
        &mut self,
        step: &str,
        by: &str,
        role: &str,
        about: &str,
        text: String,
    ) -> Result<(), RunError> {
        let (step, by, role) = (step.to_owned(), by.to_owned(), role.to_owned());
        self.record(Fact::Statement { step, by, role, about: about.to_owned(), text })
    }
}
