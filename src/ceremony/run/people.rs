//! Who is there, and how they confirm.

use super::RunError;
use super::room::{Person, Room};
use crate::ceremony::plan::{Step, step_digest};
use crate::ceremony::transcript::Fact;
use crate::ceremony::words;

/// So often a phrase may be mistyped.
const ATTEMPTS: usize = 5;

impl Room<'_> {
    /// Takes the names of all people, or those of before the interruption.
    pub(super) fn gather(&mut self) -> Result<(), RunError> {
        for fact in &self.past {
            if let Fact::Person { role, name } = fact {
                self.people.push(Person { role: role.clone(), name: name.clone() });
            }
        }
        for (role, plan) in self.plan.roles.clone() {
            let there = self.people.iter().filter(|p| p.role == role).count();
            for number in there..usize::from(plan.min) {
                let text = format!("Name of {role} {}:", number + 1);
                let rehearsed = format!("Rehearsal {role} {}", number + 1);
                let name = loop {
                    let name = self.ask("the roll", &text, &rehearsed)?;
                    let plain = name.chars().all(|c| !c.is_control()) && name.len() <= 100;
                    if name.is_empty() || !plain {
                        self.desk.show("A name has 1 to 100 characters.");
                    } else if self.people.iter().any(|p| p.name.eq_ignore_ascii_case(&name)) {
                        self.desk.show("This person has a role already; one person, one role.");
                    } else {
                        break name;
                    }
                };
                self.record(Fact::Person { role: role.clone(), name: name.clone() })?;
                self.people.push(Person { role: role.clone(), name });
            }
        }
        Ok(())
    }

    /// The first person of a role.
    pub(super) fn holder(&self, role: &str) -> Result<Person, RunError> {
        let found = self.people.iter().find(|p| p.role == role).cloned();
        found.ok_or_else(|| RunError::Refused(format!("nobody has the role {role}")))
    }

    /// All people of a role.
    pub(super) fn holders(&self, role: &str) -> Vec<Person> {
        self.people.iter().filter(|p| p.role == role).cloned().collect()
    }

    /// Lets one person type the phrase of a digest.
    fn typed_phrase(
        &mut self,
        at: &str,
        person: &Person,
        digest: &[u8; 32],
    ) -> Result<String, RunError> {
        let phrase = words::phrase(digest);
        let text = format!("{} ({}) types the words:", person.name, person.role);
        for _ in 0..ATTEMPTS {
            let typed = self.ask(at, &text, &phrase)?;
            if words::is_phrase(&typed, digest) {
                return Ok(phrase);
            }
            self.desk.show("These are not the words; compare them with the paper.");
        }
        let reason = "the words were mistyped too often".to_owned();
        Err(RunError::Aborted { at: at.to_owned(), reason })
    }

    /// The people compare the plan's digest with the approved one on paper and type its words.
    pub(super) fn confirm_plan(&mut self) -> Result<(), RunError> {
        self.desk.show("\nThe plan's SHA-256:");
        self.desk.show(&format!("    {}", words::grouped_hex(&self.digest.0)));
        for line in self.digest.words().split(' ').collect::<Vec<_>>().chunks(8) {
            self.desk.show(&format!("    {}", line.join(" ")));
        }
        self.desk.show(
            "Compare it with the approved plan on paper. Two people then type its first word and its last \
             four from the paper.",
        );
        let digest = self.digest.0;
        for person in self.people.clone().into_iter().take(2) {
            self.typed_phrase("the plan's digest", &person, &digest)?;
            self.record(Fact::PlanConfirmed { by: person.name, role: person.role })?;
        }
        Ok(())
    }

    /// As many people as the step wants confirm it, each another one.
    pub(super) fn confirm(&mut self, step: &Step) -> Result<(), RunError> {
        if step.confirm == 0 {
            return Ok(());
        }
        let digest = step_digest(&self.digest, &step.id);
        self.desk.show(&format!(
            "{} people confirm this step by its words, which also stand on the script: {}",
            step.confirm,
            words::phrase(&digest)
        ));
        let mut confirmed: Vec<String> = Vec::new();
        while confirmed.len() < usize::from(step.confirm) {
            let next = self.people.iter().find(|p| !confirmed.contains(&p.name));
            let rehearsed = next.map(|p| p.name.clone()).unwrap_or_default();
            let name = self.ask(&step.id, "Who confirms?", &rehearsed)?;
            let person = self.people.iter().find(|p| p.name.eq_ignore_ascii_case(&name)).cloned();
            match person {
                None => self.desk.show("Nobody of that name is on the roll."),
                Some(p) if confirmed.contains(&p.name) => {
                    self.desk.show("This person has confirmed; another one is needed.");
                }
                Some(person) => {
                    let typed = self.typed_phrase(&step.id, &person, &digest)?;
                    confirmed.push(person.name.clone());
                    let (step, by, role) = (step.id.clone(), person.name, person.role);
                    self.record(Fact::Confirmation { step, by, role, typed })?;
                }
            }
        }
        Ok(())
    }

    /// Lets a failed check pass, with a reason and a name; in a rehearsal by itself.
    pub(super) fn waive(&mut self, what: &str, found: &str) -> Result<(), RunError> {
        self.desk.show(&format!("NOT AS IT SHOULD BE: {what}: {found}"));
        let text = "To go on all the same, give the reason (or !abort):";
        let reason = loop {
            let reason = self.ask(what, text, "this is not the real ceremony")?;
            if reason.len() >= 10 {
                break reason;
            }
            self.desk.show("A reason has ten characters or more.");
        };
        let first = self.people.first().map(|p| p.name.clone()).unwrap_or_default();
        let by = self.ask(what, "Who takes the responsibility?", &first)?;
        self.record(Fact::Waiver { what: format!("{what}: {found}"), reason, by })
    }
}
