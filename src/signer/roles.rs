//! Who may ask what through the admin socket: one closed table. The kernel says who asks.

use std::collections::{BTreeMap, BTreeSet};

use super::error::SignerError;
use crate::config::Config;
use crate::config::uid_of;
use crate::ledger::{Draft, Event, Ledger, LedgerError, RoleChange};
use crate::wire::Peer;
use crate::wire::admin::{Permission, Request};

/// The roles that a user may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Admin,
    CaOperator,
    RaOfficer,
    Auditor,
}

impl Role {
    /// Whether it includes `permission`. `ca_operator` and `auditor` exclude each other and the rest,
    /// so what they share is looking alone.
    const fn may(self, permission: Permission) -> bool {
        match (self, permission) {
            (Self::Admin, _) | (_, Permission::Look) => true,
            (Self::CaOperator, p) => matches!(p, Permission::Revoke | Permission::OperateCa),
            (Self::RaOfficer, p) => {
                matches!(
                    p,
                    Permission::Revoke | Permission::HandleDevices | Permission::ReadRequests
                )
            }
            (Self::Auditor, _) => false,
        }
    }
}

/// Every user of the admin socket with his roles, by uid.
#[derive(Clone, Debug)]
pub(super) struct RoleMap(BTreeMap<u32, Vec<Role>>);

impl RoleMap {
    /// From the configuration and this host's users.
    pub(super) fn new(config: &Config) -> Result<Self, SignerError> {
        let mut map: BTreeMap<u32, Vec<Role>> = BTreeMap::new();
        for uid in [0, rustix::process::geteuid().as_raw()] {
            map.insert(uid, vec![Role::Admin]);
        }
        for (name, users) in config.roles.by_name() {
            let role = match name {
                "ca_operator" => Role::CaOperator,
                "ra_officer" => Role::RaOfficer,
                "auditor" => Role::Auditor,
                _ => Role::Admin,
            };
            for user in users {
                let missing =
                    || SignerError::NoSuchUser { key: format!("roles.{name}"), user: user.clone() };
                let uid = uid_of(user).ok_or_else(missing)?;
                map.entry(uid).or_default().push(role);
            }
        }
        Ok(Self(map))
    }

    /// Whether this user may connect.
    pub(super) fn knows(&self, uid: u32) -> bool {
        self.0.contains_key(&uid)
    }

    /// The mode of the admin socket: another user than root and the signer's can only connect to a
    /// socket that it may write to; who it is says the kernel.
    pub(super) fn socket_mode(&self) -> u32 {
        let own = rustix::process::geteuid().as_raw();
        if self.0.keys().any(|uid| *uid != 0 && *uid != own) { 0o666 } else { 0o600 }
    }

    /// Whether the peer may ask this.
    pub(super) fn allows(&self, peer: Peer, request: &Request) -> bool {
        let needed = request.permission();
        self.0.get(&peer.uid).is_some_and(|roles| roles.iter().any(|role| role.may(needed)))
    }
}

/// The entries that bring what the ledger says of the roles up to `config`. Root and the signer's user are
/// administrators always and stand in none.
pub(super) fn changes(config: &Config, ledger: &Ledger) -> Result<Vec<Draft>, LedgerError> {
    let mut before = BTreeSet::new();
    for sequence in ledger.of_event("role")? {
        if let Some(Event::Role(r)) = ledger.entry(sequence)?.map(|entry| entry.event) {
            let pair = (r.subject, r.role);
            if r.granted {
                before.insert(pair)
            } else {
                before.remove(&pair)
            };
        }
    }
    let named = config.roles.by_name();
    let pairs = named
        .iter()
        .flat_map(|(role, users)| users.iter().map(|user| (user.clone(), (*role).to_owned())));
    let now: BTreeSet<(String, String)> = pairs.collect();
    let taken = before.difference(&now).map(|pair| (pair, false));
    let given = now.difference(&before).map(|pair| (pair, true));
    let draft = |((subject, role), granted): (&(String, String), bool)| {
        let (subject, role) = (subject.clone(), role.clone());
        let object = format!("user {subject}");
        Draft::of_system(object, Event::Role(RoleChange { subject, role, granted }))
    };
    Ok(taken.chain(given).map(draft).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn officers_and_operators_do_not_overlap_but_in_revocation() {
        use Permission::{Administer, HandleDevices, Look, OperateCa, ReadRequests, Revoke};
        let all = [Look, ReadRequests, HandleDevices, Revoke, OperateCa, Administer];
        let table = |role: Role| all.map(|p| role.may(p));
        assert_eq!(table(Role::Admin), [true; 6]);
        assert_eq!(table(Role::CaOperator), [true, false, false, true, true, false]);
        assert_eq!(table(Role::RaOfficer), [true, true, true, true, false, false]);
        assert_eq!(table(Role::Auditor), [true, false, false, false, false, false]);
    }
}
