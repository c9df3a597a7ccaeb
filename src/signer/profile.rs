//! From the configuration's profile to the one that issuance uses.

use crate::config::{self, KeyType, KeyUsage as Word, SanKind};
use crate::issuance::{AlternativeNameRules, OtherNames, Profile, SubjectRules};
use crate::pki::extension::KeyUsage;
use crate::pki::{GeneralNameKind, KeyKind, NameRules};
use crate::ra::KeyPolicy;

/// The profile `name` with these settings. Its check is the caller's.
pub(super) fn profile(name: &str, settings: &config::Profile) -> Profile {
    // In full, so that no setting is forgotten here.
    let config::Profile {
        validity,
        shorter_validity,
        backdate,
        key_usage: usages,
        extended_key_usage,
        key_types,
        subject,
        san,
        prime_test,
        basic_constraints,
        sha1_requests,
        // Their files are read at the start of the signer.
        key_blocklists: _,
        crl_urls,
        aia_urls,
    } = settings;
    let config::SubjectRules { allow_empty, required, allowed, legacy_strings } = subject;
    let config::SanRules {
        allowed: kinds_of_names,
        others,
        required: name_required,
        domains,
        wildcards,
    } = san;
    let usage = usages.iter().fold(KeyUsage::NONE, |all, word| all | key_usage(*word));
    let kinds: Vec<KeyKind> = key_types.iter().map(|t: &KeyType| t.kind()).collect();
    let rsa_sizes = kinds.iter().filter_map(|k| match k {
        KeyKind::Rsa(bits) => Some(*bits),
        _ => None,
    });
    let curves = kinds.iter().copied().filter(|k| !k.is_rsa()).collect();
    let keys = KeyPolicy {
        rsa_sizes: rsa_sizes.collect(),
        curves,
        prime_test: *prime_test,
        ..KeyPolicy::default()
    };
    let mut names = NameRules { legacy_strings: *legacy_strings, ..NameRules::default() };
    if let Some(allowed) = allowed {
        names.allowed = allowed.iter().map(|a| a.oid()).collect();
    }
    Profile {
        name: name.into(),
        validity: *validity,
        shorter_validity: *shorter_validity,
        backdate: *backdate,
        basic_constraints: *basic_constraints,
        key_usage: usage,
        extended_key_usage: extended_key_usage.iter().map(|u| u.0).collect(),
        keys,
        sha1_requests: *sha1_requests,
        subject: SubjectRules {
            names,
            required: required.iter().map(|a| a.oid()).collect(),
            may_be_empty: *allow_empty,
        },
        alternative_names: AlternativeNameRules {
            allowed: kinds_of_names.iter().map(|k| kind(*k)).collect(),
            others: match others {
                config::OtherNames::Refuse => OtherNames::Refuse,
                config::OtherNames::Drop => OtherNames::Drop,
            },
            dns_suffixes: domains.clone(),
            wildcards: *wildcards,
            required: *name_required,
        },
        crl_urls: crl_urls.iter().map(|u| u.0.clone()).collect(),
        ca_issuer_urls: aia_urls.iter().map(|u| u.0.clone()).collect(),
        // There is no responder yet.
        ocsp_urls: Vec::new(),
    }
}

const fn key_usage(word: Word) -> KeyUsage {
    match word {
        Word::DigitalSignature => KeyUsage::DIGITAL_SIGNATURE,
        Word::NonRepudiation => KeyUsage::NON_REPUDIATION,
        Word::KeyEncipherment => KeyUsage::KEY_ENCIPHERMENT,
        Word::DataEncipherment => KeyUsage::DATA_ENCIPHERMENT,
        Word::KeyAgreement => KeyUsage::KEY_AGREEMENT,
    }
}

const fn kind(kind: SanKind) -> GeneralNameKind {
    match kind {
        SanKind::Dns => GeneralNameKind::Dns,
        SanKind::Email => GeneralNameKind::Email,
        SanKind::Ip => GeneralNameKind::Ip,
        SanKind::Uri => GeneralNameKind::Uri,
        SanKind::Upn => GeneralNameKind::UserPrincipal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &str) -> Profile {
        let text = format!(
            r#"version = 1
[token.t]
profile = "softhsm2"
label = "x"
pin_file = "pin"
[ca.c]
certificate = "c"
key = {{ token = "t", label = "a" }}
ra_decryption = {{ certificate = "c", key = {{ token = "t", label = "b" }} }}
ra_signing = {{ certificate = "c", key = {{ token = "t", label = "c" }} }}
[endpoint.e]
path = "/e"
ca = "c"
profile = "p"
[profile.p]
{settings}
"#
        );
        let config = config::parse(std::path::Path::new("/chancery.toml"), &text).unwrap();
        profile("p", &config.profile["p"])
    }

    #[test]
    fn every_setting_takes_effect() {
        let default = of("");
        let all = of(r#"validity = "30d"
shorter_validity = true
backdate = "5m"
key_usage = ["digitalSignature"]
extended_key_usage = ["serverAuth"]
key_types = ["p-256"]
subject = { required = ["CN"], allowed = ["CN", "O"], legacy_strings = true }
san = { allowed = ["dns"], others = "drop", required = true, domains = ["example.org"], wildcards = true }
basic_constraints = true
sha1_requests = true
crl_urls = ["http://pki.example.org/c.crl"]
aia_urls = ["http://pki.example.org/c.cer"]"#);
        all.check().unwrap();
        assert_eq!(all.validity.as_secs(), 30 * 86_400);
        assert_eq!(all.backdate.as_secs(), 300);
        assert_eq!(all.key_usage, KeyUsage::DIGITAL_SIGNATURE);
        assert_ne!(all.extended_key_usage, default.extended_key_usage);
        assert_eq!((all.keys.rsa_sizes.len(), all.keys.curves.len()), (0, 1));
        assert!(all.shorter_validity && !default.shorter_validity);
        assert!(all.basic_constraints && !default.basic_constraints);
        assert!(all.sha1_requests && !default.sha1_requests);
        let (new, old) = (&all.subject, &default.subject);
        let empty =
            "subject = { allow_empty = true }\nsan = { allowed = [\"dns\"], required = true }";
        assert!(of(empty).subject.may_be_empty && !old.may_be_empty);
        assert!(new.names.legacy_strings && !old.names.legacy_strings);
        assert_eq!((new.required.len(), new.names.allowed.len()), (1, 2));
        let expected = AlternativeNameRules {
            allowed: vec![GeneralNameKind::Dns],
            others: OtherNames::Drop,
            dns_suffixes: vec!["example.org".into()],
            wildcards: true,
            required: true,
        };
        assert_eq!(all.alternative_names, expected);
        assert_eq!(default.alternative_names, AlternativeNameRules::default());
        assert_eq!(all.crl_urls, ["http://pki.example.org/c.crl"]);
        assert_eq!(all.ca_issuer_urls, ["http://pki.example.org/c.cer"]);
    }
}
