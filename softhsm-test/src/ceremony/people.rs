//! The people in the room.

use std::fs;
use std::path::{Path, PathBuf};

use chancery::ceremony::plan::load;
use chancery::ceremony::words;
use chancery::clock::{Clock as _, SystemClock};

use super::Terminal;
use crate::{Context as _, Result, fail};

/// The people in the room: they know the plan on paper, and write down what they are shown. They misread
/// one character in each row of a share, and record two deviations: a torn seal, no shielded room.
#[derive(Default)]
pub struct People {
    digest: [u8; 32],
    /// What each screen showed that was for one person's eyes: its title, its rows.
    notes: Vec<(String, Vec<String>)>,
    paper: Vec<String>,
    /// Every row that was for one person's eyes.
    pub secrets: Vec<String>,
    names: Vec<String>,
    confirmed: usize,
    deviated: bool,
    screen: String,
    /// The words of the request that somebody brought along.
    pub request: Option<String>,
    /// Where the attestation of the newest key goes, and how often it was asked for. The first that is
    /// written is of another key.
    pub attestation: Option<(PathBuf, usize)>,
}

impl People {
    /// The rows of the notes whose title has `part`.
    #[must_use]
    pub fn noted(&self, part: &str) -> Vec<Vec<String>> {
        let found = self.notes.iter().filter(|(title, _)| title.contains(part));
        found.map(|(_, rows)| rows.clone()).collect()
    }

    /// Holds the ceremony of the plan `text` in `folder`, which gets `plan.toml` and `evidence`.
    ///
    /// # Errors
    ///
    /// A plan that does not load, a question that nobody can answer, a ceremony that does not end well.
    pub fn hold(&mut self, folder: &Path, text: &str) -> Result<()> {
        fs::write(folder.join("plan.toml"), text).context(folder.display())?;
        let Ok(plan) = load(text) else { return fail("the plan has errors") };
        self.digest = plan.digest().0;
        (self.names, self.confirmed) = (Vec::new(), 0);
        self.screen.clear();
        let arguments = ["ceremony", "run", "plan.toml", "--out", "evidence"];
        let mut terminal = Terminal::start(&arguments, folder)?;
        let mut last = String::new();
        while let Some(shown) = terminal.read()? {
            last.push_str(&shown);
            if shown.ends_with('\n') {
                continue;
            }
            let reply = self.reply(&shown)?;
            terminal.answer(&reply)?;
        }
        match terminal.end()? {
            status if status.success() => Ok(()),
            status => fail(format!("the ceremony ended with {status}:\n{last}")),
        }
    }

    /// What they type at the last prompt of the screen.
    fn reply(&mut self, shown: &str) -> Result<String> {
        let all = format!("{}{shown}", self.screen);
        self.screen = all.chars().rev().take(3000).collect::<Vec<_>>().into_iter().rev().collect();
        let prompt = shown.trim_end_matches(' ').lines().last().unwrap_or_default().to_owned();
        let ends = |text: &str| prompt.contains(text);
        let answer = if let Some(who) = prompt.strip_prefix("Name of ") {
            let name = format!("P. {}", who.trim_end_matches(':'));
            self.names.push(name.clone());
            Some(name)
        } else if ends("types the words:") {
            Some(self.words())
        } else if ends("Who confirms?") {
            self.confirmed += 1;
            self.names.get(self.confirmed % 2).cloned()
        } else if ends("Write it down, then press Enter") {
            self.note(shown);
            Some(String::new())
        } else if let Some(row) = prompt.strip_prefix("Row ") {
            self.row(row.trim_end_matches(':'))
        } else if let Some(which) = prompt.strip_prefix("Number of rows of share ") {
            self.share(which.trim_end_matches(':'))
        } else if let Some((_, secret)) = prompt.split_once(" types the secret ") {
            self.secret(secret)
        } else if ends("from the requester's paper") {
            self.request.clone()
        } else if ends("attestation's file is there") {
            self.attest()?;
            Some(String::new())
        } else if ends("types it from paper") {
            self.paper.first().map(|row| row.to_lowercase())
        } else if ends("types the time of the wall clock") {
            Some(format!("{}Z", &SystemClock.now().to_string()[..19]))
        } else if prompt.starts_with("Who ") || ends("Who says it?") {
            self.names.first().cloned()
        } else if ends("reads out the") && !self.deviated {
            self.deviated = true;
            Some("!the bag's seal is torn".to_owned())
        } else {
            fixed(&prompt).map(str::to_owned)
        };
        answer.map_or_else(
            || fail(format!("nobody knows what to say to «{prompt}» after\n{}", self.screen)),
            Ok,
        )
    }

    /// The words of the step, or of the plan before the first one.
    fn words(&self) -> String {
        const BEFORE: &str = "also stand on the script: ";
        let step = self.screen.rfind(BEFORE);
        let line = step.and_then(|at| self.screen[at + BEFORE.len()..].lines().next());
        line.map_or_else(|| words::phrase(&self.digest), str::to_owned)
    }

    /// Writes down what is shown.
    fn note(&mut self, shown: &str) {
        let rows = shown.lines().filter(|l| l.starts_with("    ")).map(|l| l.trim().to_owned());
        self.paper = rows.collect();
        self.secrets.extend(self.paper.clone());
        let title = shown.lines().rfind(|l| l.contains('«')).unwrap_or_default().to_owned();
        self.notes.push((title, self.paper.clone()));
    }

    /// A row of the paper, one character misread.
    fn row(&self, number: &str) -> Option<String> {
        let row = self.paper.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
        let mut row: Vec<char> = row.to_lowercase().chars().collect();
        let read = row.get_mut(8)?;
        *read = if *read == 'z' { 'y' } else { 'z' };
        Some(row.into_iter().collect())
    }

    /// Takes the paper of a share; how many rows it has.
    fn share(&mut self, which: &str) -> Option<String> {
        let (number, secret) = which.split_once(" of ")?;
        let shares = self.noted(&format!("of the secret {secret}"));
        self.paper = shares.get(number.parse::<usize>().ok()?.checked_sub(1)?)?.clone();
        Some(self.paper.len().to_string())
    }

    /// A secret as one person noted it.
    fn secret(&self, named: &str) -> Option<String> {
        let notes = self.noted(named.split(' ').next()?);
        Some(notes.first()?.first()?.replace(' ', ""))
    }

    /// Writes the attestation as a vendor's tool would.
    fn attest(&mut self) -> Result<()> {
        let Some((file, count)) = &mut self.attestation else {
            return fail("the ceremony asks for an attestation, and nobody has one");
        };
        *count += 1;
        let transcript = file.with_file_name("evidence/transcript.jsonl");
        let transcript = fs::read_to_string(&transcript).context(transcript.display())?;
        let last = transcript.rsplit("\"spki\":\"").next().unwrap_or_default();
        let spki = last.split('"').next().unwrap_or_default();
        let content =
            if *count == 1 { "<key>AAAA</key>".into() } else { format!("<key>{spki}</key>") };
        fs::write(&*file, content).context(file.display())
    }
}

/// What is said whoever is asked.
fn fixed(prompt: &str) -> Option<&'static str> {
    let answers = [
        ("to go on without it:", "again"),
        ("give the reason", "the test has no shielded room"),
        ("reads out the", "4711"),
        ("answers:", "yes"),
        ("types «I attest»", "I attest"),
    ];
    answers.into_iter().find(|(part, _)| prompt.contains(part)).map(|(_, answer)| answer)
}
