//! One-time challenges as the ledger has them, and the claims on their uses.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failure::Failure;
use crate::clock::Timestamp;
use crate::ledger::{self, ChallengeAction, Ledger, LedgerError};
use crate::ra::{
    ChallengeBook, ChallengeMac, Evidence, KeptChallenge, OneTimeError, Refusal, Restriction,
    Standing, slot,
};

/// The uses that are being taken. The ledger refuses the second use of a reference anyway; this
/// lets simultaneous requests with a challenge of several uses take different ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<HashSet<[u8; 32]>>>);

/// A use that is being taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    reference: [u8; 32],
    claims: Claims,
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        // Held for set operations only; a poisoned one is still in order.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.reference);
    }
}

/// The challenges as they stand for one request.
pub(super) struct Book<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) claims: &'a Claims,
    pub(super) endpoint: &'a str,
    /// The transaction ID.
    pub(super) id: &'a [u8],
    /// SHA-256 of the PKCS#10.
    pub(super) request: [u8; 32],
}

impl Book<'_> {
    /// The ledger's evidence of `evidence`, with a use claimed for each one-time challenge.
    pub(super) fn claim(
        &self,
        evidence: &[Evidence],
    ) -> Result<(Vec<ledger::Evidence>, Vec<Claim>), Failure> {
        let (mut out, mut claims) = (Vec::new(), Vec::new());
        for one in evidence {
            let mut recorded = recorded(one);
            if let Evidence::OneTime(mac) = one {
                let claim = self.take(mac)?;
                recorded.reference = Some(claim.reference.as_slice().into());
                claims.push(claim);
            }
            out.push(recorded);
        }
        Ok((out, claims))
    }

    fn take(&self, mac: &[u8; 32]) -> Result<Claim, Failure> {
        let refused = |why: OneTimeError| Failure::from(Refusal::from(why));
        let record =
            self.ledger.challenge(mac)?.ok_or_else(|| refused(OneTimeError::Unreadable))?;
        match record.ended {
            Some(ChallengeAction::Revoked) => return Err(refused(OneTimeError::Revoked)),
            Some(_) => return Err(refused(OneTimeError::Voided)),
            None => {}
        }
        let uses = restriction(&record).map_err(|_| refused(OneTimeError::Unreadable))?.uses;
        for index in 0..uses {
            let reference = slot(mac, index);
            if self.is_free(&reference)? && self.claims.lock().insert(reference) {
                return Ok(Claim { reference, claims: self.claims.clone() });
            }
        }
        Err(refused(OneTimeError::Used))
    }

    /// Whether nothing used this reference but an abandoned try of the same request.
    fn is_free(&self, reference: &[u8; 32]) -> Result<bool, LedgerError> {
        Ok(self.ledger.challenge_use(reference)?.is_none_or(|user| {
            let r = &user.reservation;
            user.is_abandoned()
                && r.endpoint == self.endpoint
                && *r.transaction == *self.id
                && r.request.digest.0 == self.request
        }))
    }

    fn standing(&self, mac: &[u8; 32], uses: u32) -> Result<Standing, LedgerError> {
        for index in 0..uses {
            if self.is_free(&slot(mac, index))? {
                return Ok(Standing::Open);
            }
        }
        Ok(Standing::Used)
    }
}

impl ChallengeBook for Book<'_> {
    fn find(&self, mac: &ChallengeMac) -> Result<Option<KeptChallenge>, String> {
        let text = |e: LedgerError| e.to_string();
        let mac = mac.as_bytes();
        let Some(record) = self.ledger.challenge(mac).map_err(text)? else { return Ok(None) };
        let restriction = restriction(&record)?;
        let standing = match record.ended {
            Some(ChallengeAction::Revoked) => Standing::Revoked,
            Some(_) => Standing::Voided,
            None => self.standing(mac, restriction.uses).map_err(text)?,
        };
        let expires = Timestamp::from_unix_millis(record.challenge.expires);
        Ok(Some(KeptChallenge { restriction, expires, standing }))
    }
}

/// What a challenge is good for, from its entry.
pub(super) fn restriction(record: &ledger::ChallengeRecord) -> Result<Restriction, String> {
    let text = record.challenge.restriction.as_deref().unwrap_or_default();
    Restriction::from_text(text).map_err(|e| e.to_string())
}

/// How often a challenge was used.
pub(super) fn used(
    ledger: &Ledger,
    record: &ledger::ChallengeRecord,
    uses: u32,
) -> Result<u32, LedgerError> {
    let Ok(mac) = <[u8; 32]>::try_from(&*record.challenge.mac) else { return Ok(0) };
    let mut count = 0;
    for index in 0..uses {
        let used = ledger.challenge_use(&slot(&mac, index))?;
        count += u32::from(used.is_some_and(|user| !user.is_abandoned()));
    }
    Ok(count)
}

/// Evidence as the ledger has it.
pub(super) fn recorded(evidence: &Evidence) -> ledger::Evidence {
    let (authorizer, reference) = match evidence {
        Evidence::Challenge => (ledger::Authorizer::Challenge, None),
        Evidence::OneTime(mac) => {
            (ledger::Authorizer::OneTimeChallenge, Some(mac.as_slice().into()))
        }
        Evidence::Approval(decision) => {
            (ledger::Authorizer::Approval, Some(decision.to_be_bytes().as_slice().into()))
        }
        Evidence::Renewal(old) => (ledger::Authorizer::Renewal, Some(old.as_slice().into())),
    };
    ledger::Evidence { authorizer, reference, detail: None }
}

/// Evidence from the ledger; none where it is of a kind that no endpoint takes.
pub(super) fn from_record(evidence: &ledger::Evidence) -> Option<Evidence> {
    let reference = || <[u8; 32]>::try_from(&**evidence.reference.as_ref()?).ok();
    match evidence.authorizer {
        ledger::Authorizer::Challenge => Some(Evidence::Challenge),
        ledger::Authorizer::OneTimeChallenge => reference().map(Evidence::OneTime),
        ledger::Authorizer::Renewal => reference().map(Evidence::Renewal),
        _ => None,
    }
}
