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
        self.confirmed("the plan's digest", 2, &digest, &|p, _| Fact::PlanConfirmed {
            by: p.name.clone(),
            role: p.role.clone(),
        })
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
        let count = usize::from(step.confirm);
        self.confirmed(&step.id, count, &digest, &|p, typed| Fact::Confirmation {
            step: step.id.clone(),
            by: p.name.clone(),
            role: p.role.clone(),
            typed,
        })
    }

    /// So many different people type the words of a digest. Two or more are not all of one role, where
    /// there are two roles.
    fn confirmed(
        &mut self,
        at: &str,
        count: usize,
        digest: &[u8; 32],
        fact: &dyn Fn(&Person, String) -> Fact,
    ) -> Result<(), RunError> {
        let roles = self.plan.roles.len();
        let mut confirmed: Vec<Person> = Vec::new();
        let last_of_one_role = |confirmed: &[Person], p: &Person| {
            let last = confirmed.len() + 1 == count && !confirmed.is_empty() && roles > 1;
            last && confirmed.iter().all(|c| c.role == p.role)
        };
        while confirmed.len() < count {
            let may = |p: &&Person| !confirmed.contains(p) && !last_of_one_role(&confirmed, p);
            let next = self.people.iter().find(may).map(|p| p.name.clone()).unwrap_or_default();
            let person = self.named(at, "Who confirms?", &next)?;
            if confirmed.contains(&person) {
                self.desk.show("This person has confirmed; another one is needed.");
            } else if last_of_one_role(&confirmed, &person) {
                self.desk.show("Somebody of another role is needed.");
            } else {
                let typed = self.typed_phrase(at, &person, digest)?;
                self.record(fact(&person, typed))?;
                confirmed.push(person);
            }
        }
        Ok(())
    }

    /// Asks for somebody on the roll.
    pub(super) fn who(&mut self, at: &str, text: &str) -> Result<Person, RunError> {
        let first = self.people.first().map(|p| p.name.clone()).unwrap_or_default();
        self.named(at, text, &first)
    }

    fn named(&mut self, at: &str, text: &str, rehearsed: &str) -> Result<Person, RunError> {
        loop {
            let name = self.ask(at, text, rehearsed)?;
            let found = self.people.iter().find(|p| p.name.eq_ignore_ascii_case(&name));
            if let Some(person) = found {
                return Ok(person.clone());
            }
            let roll: Vec<&str> = self.people.iter().map(|p| p.name.as_str()).collect();
            let text = format!("Nobody of that name is on the roll: {}.", roll.join(", "));
            self.desk.show(&text);
        }
    }

    /// Lets a failed check pass, with a reason and a name of the roll; in a rehearsal by itself.
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
        let by = self.who(what, "Who takes the responsibility?")?.name;
        self.record(Fact::Waiver { what: format!("{what}: {found}"), reason, by })
    }
}
