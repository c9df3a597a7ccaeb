//! "Did you mean": the nearest of the names that would have been right.

/// The candidate that `name` most probably stands for, if any is near enough.
pub(super) fn closest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace(['-', ' '], "_");
    let name = plain(name);
    // A third of the letters may be wrong.
    let limit = name.chars().count().div_ceil(3);
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &plain(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The remedy for a name that is none of `valid`: the likely one first, then all of them.
pub(super) fn remedy(name: &str, valid: &[&str]) -> String {
    let all = match valid {
        [] => "nothing can stand here".to_owned(),
        names => format!("valid here: {}", names.join(", ")),
    };
    match closest(name, valid) {
        Some(near) => format!("did you mean \"{near}\"? {all}"),
        None => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let valid = ["log", "listen", "signer", "token", "pin_file"];
        for (name, near) in [
            ("lisen", Some("listen")),
            ("Signer", Some("signer")),
            ("tokne", Some("token")),
            ("pin-file", Some("pin_file")),
            ("foo", None),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(closest(name, &valid), near, "{name}");
        }
        assert_eq!(remedy("lisen", &["listen"]), "did you mean \"listen\"? valid here: listen");
        assert_eq!(remedy("x", &[]), "nothing can stand here");
    }
}
