//! Who may do what through the admin socket.

use super::model::Config;
use super::reader::Reader;
use super::schema::section;

section! {
    /// The operators' roles, by the names of the host's users. Root and the signer's own user are
    /// administrators always. Without this section nobody else reaches the admin socket.
    /// `chancery role show` says what each role may do.
    pub struct Roles {
        /// Everything: service, configuration, backups, and what the others may.
        admin: Vec<String> = [],
        /// The CA: CRLs, rollover, revocation, backups. Excludes every other role.
        ca_operator: Vec<String> = [],
        /// The devices: requests that wait, challenges, revocation.
        ra_officer: Vec<String> = [],
        /// Looks at everything and changes nothing. Excludes every other role.
        auditor: Vec<String> = [],
    }
}

impl Roles {
    /// Each role's name in the configuration with its users.
    pub fn by_name(&self) -> [(&'static str, &[String]); 4] {
        [
            ("admin", &self.admin),
            ("ca_operator", &self.ca_operator),
            ("ra_officer", &self.ra_officer),
            ("auditor", &self.auditor),
        ]
    }
}

/// Roles that exclude every other one: who operates the CA does not look after devices too, and nobody
/// audits himself.
const EXCLUSIVE: [&str; 2] = ["ca_operator", "auditor"];

/// Adds every overlap that is not allowed.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    let roles = config.roles.by_name();
    for (exclusive, users) in roles.iter().filter(|(name, _)| EXCLUSIVE.contains(name)) {
        for (index, user) in users.iter().enumerate() {
            let key = format!("roles.{exclusive}[{index}]");
            if user == "root" {
                reader.fail(
                    &key,
                    format!("root is an administrator always and cannot be {exclusive} too"),
                    "name another user of this host",
                );
            }
            let other =
                roles.iter().find(|(name, users)| name != exclusive && users.contains(user));
            if let Some((other, _)) = other {
                reader.fail(
                    &key,
                    format!("{user} is {other} too, and {exclusive} excludes every other role"),
                    format!("take {user} out of one of the two"),
                );
            }
        }
    }
}
