//! PINs: made or typed, shown once on a screen of their own, shared, typed back, and never recorded.

use zeroize::Zeroizing;

use super::RunError;
use super::desk::REHEARSED_PIN;
use super::room::Room;
use crate::ceremony::custody;
use crate::ceremony::plan::{SecretPlan, SecretSource, SharePlan};
use crate::ceremony::shares::{self, Share};
use crate::ceremony::transcript::{Fact, Mode};
use crate::secret::Secret;

/// The characters of a generated PIN: none that look alike.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// So often a typed secret may differ.
const ATTEMPTS: usize = 5;

impl Room<'_> {
    /// The secret `name`: what was typed or made before in this run, or now.
    pub(super) fn secret(&mut self, name: &str) -> Result<Secret, RunError> {
        if let Some(secret) = self.secrets.get(name) {
            return Ok(secret.clone());
        }
        let missing = || RunError::Refused(format!("the plan has no secret {name}"));
        let plan = self.plan.secrets.get(name).cloned().ok_or_else(missing)?;
        let is_new = self.is_new(name);
        let ready =
            self.past.iter().any(|f| matches!(f, Fact::SecretReady { secret } if secret == name));
        let secret = if !is_new || ready {
            self.recall(name, &plan)?
        } else {
            self.make_secret(name, &plan)?
        };
        self.secrets.insert(name.to_owned(), secret.clone());
        Ok(secret)
    }

    /// Whether a token that this ceremony initialises gets the secret.
    fn is_new(&self, name: &str) -> bool {
        let plan = self.plan;
        let mut users =
            plan.tokens.iter().filter(|(_, t)| t.pin == name || t.so_pin.as_deref() == Some(name));
        users.any(|(token, _)| self.initialises(token))
    }

    /// A secret that exists: from its holder or its shares.
    fn recall(&mut self, name: &str, plan: &SecretPlan) -> Result<Secret, RunError> {
        match &plan.share {
            Some(share) => self.combine(name, share),
            None => {
                let holder = self.holder(plan.holder.as_deref().unwrap_or_default())?;
                // A generated one is read without its spaces; one that people chose is taken as it is.
                let how =
                    if plan.source == SecretSource::Generate { "" } else { ", without spaces" };
                let text = format!("{} types the secret «{name}» (unseen{how}):", holder.name);
                let typed = self.desk.ask_secret(&text, Some(REHEARSED_PIN))?;
                let how = "typed".to_owned();
                self.record(Fact::Secret { secret: name.into(), how, bits: 0 })?;
                Ok(plain(plan, &typed))
            }
        }
    }

    /// A new secret: made or typed twice, handed out, and tested before anything depends on it.
    fn make_secret(&mut self, name: &str, plan: &SecretPlan) -> Result<Secret, RunError> {
        let secret = match plan.source {
            SecretSource::Generate => {
                let (secret, bits) = self.generate(plan.bits)?;
                let how = "generated".to_owned();
                self.record(Fact::Secret { secret: name.into(), how, bits })?;
                secret
            }
            SecretSource::Typed | SecretSource::Shares => {
                let secret = self.typed_twice(name, plan)?;
                let how = "typed twice".to_owned();
                self.record(Fact::Secret { secret: name.into(), how, bits: 0 })?;
                secret
            }
        };
        match &plan.share {
            Some(share) => self.hand_out(name, &secret, share)?,
            None if plan.source == SecretSource::Generate => {
                self.show_to_holder(name, &secret, plan)?;
            }
            None => {}
        }
        self.record(Fact::SecretReady { secret: name.into() })?;
        Ok(secret)
    }

    /// A PIN of at least `bits` bits: the operating system's randomness mixed with that of every token
    /// that is open.
    fn generate(&mut self, bits: u32) -> Result<(Secret, u64), RunError> {
        let len = bits.div_ceil(5) as usize;
        if self.options.mode == Mode::Rehearsal && !self.desk.is_human() {
            // So that a rehearsal can be interrupted and resumed without anybody's memory.
            return Ok((Secret::new(REHEARSED_PIN.as_bytes().to_vec()), 0));
        }
        let mut bytes = Zeroizing::new(vec![0; len]);
        self.options.random.fill(&mut bytes)?;
        let tokens: Vec<String> = self.plan.tokens.keys().cloned().collect();
        for token in tokens.iter().filter(|t| self.bench.is_open(t)).cloned().collect::<Vec<_>>() {
            let more = Zeroizing::new(self.bench.random(&token, len).unwrap_or_default());
            for (byte, other) in bytes.iter_mut().zip(more.iter()) {
                *byte ^= other;
            }
        }
        let pin = bytes.iter().map(|b| ALPHABET[usize::from(b & 31)]).collect();
        Ok((Secret::new(pin), 5 * len as u64))
    }

    fn typed_twice(&mut self, name: &str, plan: &SecretPlan) -> Result<Secret, RunError> {
        let role = plan.holder.as_deref().or(plan.share.as_ref().map(|s| s.role.as_str()));
        let holder = self.holder(role.unwrap_or_default())?;
        for _ in 0..ATTEMPTS {
            let text = format!("{} chooses the secret «{name}» (unseen):", holder.name);
            let first = self.desk.ask_secret(&text, Some(REHEARSED_PIN))?;
            let second = self.desk.ask_secret("Once more:", Some(REHEARSED_PIN))?;
            if first.len() < 8 {
                self.desk.show("It must have 8 characters or more.");
            } else if !first.ct_eq(second.expose()) {
                self.desk.show("They differ.");
            } else {
                return Ok(first);
            }
        }
        Err(RunError::Refused(format!("the secret {name} was typed differently too often")))
    }

    fn show_to_holder(
        &mut self,
        name: &str,
        secret: &Secret,
        plan: &SecretPlan,
    ) -> Result<(), RunError> {
        let holder = self.holder(plan.holder.as_deref().unwrap_or_default())?;
        let groups = grouped(secret);
        for _ in 0..ATTEMPTS {
            let title =
                format!("The secret «{name}», for {} alone. It is shown once.", holder.name);
            self.desk.show_secret(&title, std::slice::from_ref(&groups))?;
            let text = format!("{} types it from paper (unseen):", holder.name);
            let typed = self.desk.ask_secret(&text, Some(&groups))?;
            if plain(plan, &typed).ct_eq(secret.expose()) {
                return Ok(());
            }
            self.desk.show("That is not it; it is shown again.");
        }
        Err(RunError::Refused(format!("the secret {name} was not written down right")))
    }

    /// Splits the secret, tests every combination, shows each share to its holder, lets it be typed back.
    fn hand_out(&mut self, name: &str, secret: &Secret, plan: &SharePlan) -> Result<(), RunError> {
        let random = std::sync::Arc::clone(&self.options.random);
        let shares = shares::split(secret, plan.threshold, plan.of, random.as_ref())?;
        let holders = self.holders(&plan.role);
        for (share, holder) in shares.iter().zip(holders) {
            let corrected = self.hand_out_one(name, share, &holder.name)?;
            self.record(Fact::ShareHandedOut {
                secret: name.into(),
                set: format!("{:04x}", share.set()),
                number: share.number().into(),
                holder: holder.name,
                corrected: corrected as u64,
            })?;
        }
        Ok(())
    }

    fn hand_out_one(&mut self, name: &str, share: &Share, holder: &str) -> Result<usize, RunError> {
        let rows = shares::rows(share);
        for _ in 0..ATTEMPTS {
            let title = format!(
                "Share {} of the secret «{name}», set {:04x}, for {holder} alone. Write down every row.",
                share.number(),
                share.set()
            );
            self.desk.show_secret(&title, &rows)?;
            self.desk.show(&format!("{holder} types the rows from paper (unseen)."));
            match custody::type_share(self.desk.as_mut(), rows.len(), Some(&rows))? {
                Ok((typed, corrected)) if typed.is(share) => return Ok(corrected),
                Ok(_) => self.desk.show("That is another share; it is shown again."),
                Err(e) => self.desk.show(&format!("{e}. It is shown again.")),
            }
        }
        Err(RunError::Refused(format!("share {} was not written down right", share.number())))
    }

    /// Lets holders type their shares until there are enough.
    fn combine(&mut self, name: &str, plan: &SharePlan) -> Result<Secret, RunError> {
        if self.is_rehearsed() && !self.desk.is_human() {
            // Nobody has shares of a token that a rehearsal made up.
            let numbers = (1..=u64::from(plan.threshold)).collect();
            self.record(Fact::SharesCombined { secret: name.into(), numbers })?;
            return Ok(Secret::new(REHEARSED_PIN.as_bytes().to_vec()));
        }
        let collected = custody::collect(self.desk.as_mut(), name)?;
        if collected.refused > 0 {
            let (at, by) = (format!("the shares of «{name}»"), "chancery".to_owned());
            let text = format!("typed wrong {} times", collected.refused);
            self.record(Fact::Deviation { at, by, text })?;
        }
        let (secret, numbers) = (name.into(), collected.numbers);
        self.record(Fact::SharesCombined { secret, numbers })?;
        Ok(collected.secret)
    }
}

/// A generated secret in groups of four, as it stands on paper.
fn grouped(secret: &Secret) -> String {
    let groups: Vec<String> =
        secret.expose().chunks(4).map(|g| String::from_utf8_lossy(g).into_owned()).collect();
    groups.join(" ")
}

/// A generated secret as typed from paper: without spaces, in capitals, `O` for `0`, `I` and `L` for
/// `1`. One that people chose is taken as it is.
fn plain(plan: &SecretPlan, typed: &Secret) -> Secret {
    if plan.source != SecretSource::Generate {
        return typed.clone();
    }
    let kept = typed.expose().iter().filter(|b| !b.is_ascii_whitespace() && **b != b'-');
    let kept = kept.map(|b| match b.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    });
    Secret::new(kept.collect())
}
