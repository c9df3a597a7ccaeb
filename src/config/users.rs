//! The host's users, by the names that a configuration has for them.

use super::model::Config;
use super::reader::Reader;

/// The uid of a user in /etc/passwd, where the packages' sysusers put the service's users; none where the
/// host has no such user.
pub fn uid_of(name: &str) -> Option<u32> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

/// Adds every user that this host does not have.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    let frontend = config.signer.frontend_user.iter();
    let frontend = frontend.map(|user| ("signer.frontend_user".to_owned(), user));
    let roles = config.roles.by_name().into_iter().flat_map(|(role, users)| {
        let numbered = users.iter().enumerate();
        numbered.map(move |(index, user)| (format!("roles.{role}[{index}]"), user))
    });
    for (key, user) in frontend.chain(roles).filter(|(_, user)| uid_of(user).is_none()) {
        reader.fail(
            &key,
            format!("this host has no user \"{user}\""),
            "create the user (useradd --system) or correct the name",
        );
    }
}
