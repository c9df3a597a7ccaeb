//! Keys that are refused with words of their own: features that this version has not, and secrets
//! that somebody wrote into the file.

/// Features that are not in this version: the section in which the key would stand (`*` for a name
/// that the user chooses), the key, and what to do.
const ABSENT: &[(&str, &str, &str)] = &[
    ("", "console", "officers work with `chancery` on the signer's host"),
    ("", "ocsp", "there is no responder yet"),
    ("", "validator", "use `challenge_mac` of the endpoint"),
    ("", "validators", "use `challenge_mac` of the endpoint"),
    ("", "webhook", "use `challenge_mac` of the endpoint"),
    ("", "webhooks", "use `challenge_mac` of the endpoint"),
    ("", "intune", "use `challenge_mac` of the endpoint"),
    ("", "ndes", "use `challenge_mac` of the endpoint"),
    ("", "witness", "checkpoints are not witnessed yet"),
    ("frontend", "tls", HTTPS),
    ("frontend", "https", HTTPS),
    ("frontend", "tls_certificate", HTTPS),
    ("frontend", "tls_key", HTTPS),
    ("ca.*", "ocsp", "there is no responder yet"),
    ("ca.*", "next", "GetNextCACert is not answered yet"),
    ("profile.*", "ocsp_urls", "there is no responder yet"),
    ("endpoint.*", "validator", "use `challenge_mac`"),
    ("endpoint.*", "validators", "use `challenge_mac`"),
    ("endpoint.*", "webhook", "use `challenge_mac`"),
    ("endpoint.*", "intune", "use `challenge_mac`"),
    ("endpoint.*", "ndes", "use `challenge_mac`"),
];

const HTTPS: &str = "SCEP signs and encrypts its messages itself (RFC 8894 section 7.10); put a TLS \
                     proxy in front where devices insist";

/// Keys that hold a secret in other programs' configurations.
const SECRETS: &[&str] = &[
    "pin",
    "user_pin",
    "userpin",
    "so_pin",
    "password",
    "passphrase",
    "passwd",
    "secret",
    "challenge",
    "challenge_password",
    "challengepassword",
    "private_key",
];

/// The problem and remedy of a key that `section` does not have but that is known for what it is.
pub(super) fn known_refusal(section: &str, name: &str) -> Option<(String, String)> {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    if SECRETS.contains(&plain.as_str()) {
        let remedy = match section.split('.').next() {
            Some("token") => {
                "remove it and change the PIN if others could read it; put the PIN into a file of mode \
                 0600 and name it by `pin_file`, or use `pin_credential` or `pin_prompt = true`"
            }
            Some("endpoint") => {
                "remove it and choose a new challenge if others could read it; `chancery challenge mac` \
                 prints the line `challenge_mac = …` to put here"
            }
            _ => "remove it and change the secret if others could read it",
        };
        return Some((
            "a secret must not stand in the configuration".to_owned(),
            remedy.to_owned(),
        ));
    }
    let pattern = pattern(section);
    let (_, _, instead) = ABSENT.iter().find(|(at, key, _)| *at == pattern && *key == plain)?;
    Some(("this is not in this version of Chancery".to_owned(), format!("remove it; {instead}")))
}

/// `section` with the name that the user chose as `*`.
fn pattern(section: &str) -> String {
    let mut parts: Vec<&str> = section.split('.').collect();
    if let ["token" | "ca" | "profile" | "endpoint", name, ..] = parts.as_mut_slice() {
        *name = "*";
    }
    parts.join(".")
}
