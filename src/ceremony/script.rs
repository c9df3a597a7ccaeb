//! The printed script of a ceremony: what is done by whom, in which order, with which expected values,
//! and room for initials and times. Made from the plan alone, so it can be approved with it.

use super::document::{Document, Section};
use super::plan::{Action, Plan, Step, step_digest};
use super::words;

/// The script as an HTML page. `rehearsal` marks it as one.
pub fn html(plan: &Plan, rehearsal: bool) -> String {
    document(plan, rehearsal).html()
}

const BLANK: &str = " ";

fn document(plan: &Plan, rehearsal: bool) -> Document {
    let mark = if rehearsal {
        "REHEARSAL SCRIPT: nothing of this is production"
    } else {
        "PRODUCTION SCRIPT"
    };
    let mut document = Document {
        title: format!("Key ceremony script: {}", plan.title),
        mark: Some(mark.into()),
        sections: Vec::new(),
    };
    overview(plan, document.section("What this is"));
    people(plan, document.section("People"));
    materials(plan, document.section("Materials"));
    if !plan.profiles.is_empty() {
        profiles(plan, document.section("Certificate profiles"));
    }
    opening(plan, document.section("Opening"));
    steps(plan, document.section("Steps"));
    closing(document.section("Closing"));
    exceptions(document.section("Exception sheet"));
    let sign = document.section("Sign-off");
    sign.text("Each of us was present from the opening to the closing, but for the breaks noted above, and saw the steps follow this script but for the exceptions noted above.");
    let rows = roster(plan)
        .into_iter()
        .map(|(role, _)| vec![role, BLANK.into(), BLANK.into(), BLANK.into()]);
    sign.table(&["Role", "Name", "Signature", "Date and time (UTC)"], rows.collect());
    document
}

fn overview(plan: &Plan, section: &mut Section) {
    if !plan.description.is_empty() {
        section.text(&plan.description);
    }
    section.text(format!("Policy: {}", plan.policy));
    section.text("SHA-256 of the plan, in hexadecimal and in words; the program shows the same before it begins:");
    let digest = plan.digest();
    section.code(words::grouped_hex(&digest.0));
    section.code(word_lines(&digest.0));
    section.qr(&format!("chancery-plan:{}", digest.hex()));
}

/// Words in lines of eight.
pub(super) fn word_lines(digest: &[u8]) -> String {
    let all = words::words(digest);
    let all: Vec<&str> = all.split(' ').collect();
    all.chunks(8).map(|l| l.join(" ")).collect::<Vec<_>>().join("\n")
}

fn roster(plan: &Plan) -> Vec<(String, String)> {
    let each = plan.roles.iter().flat_map(|(name, role)| {
        (1..=role.min).map(move |n| {
            let title = if role.min > 1 { format!("{name} {n}") } else { name.clone() };
            (title, role.duty.clone())
        })
    });
    each.collect()
}

fn people(plan: &Plan, section: &mut Section) {
    let rows = roster(plan).into_iter();
    let rows = rows.map(|(role, duty)| vec![role, duty, BLANK.into(), BLANK.into(), BLANK.into()]);
    section.table(&["Role", "Duty", "Name", "Identity document", "Initials"], rows.collect());
}

fn materials(plan: &Plan, section: &mut Section) {
    let unknown = |t: &Option<String>| t.clone().unwrap_or_else(|| BLANK.into());
    let rows = plan.tokens.iter().map(|(name, t)| {
        vec![
            name.clone(),
            t.profile.clone(),
            t.label.clone(),
            unknown(&t.serial),
            unknown(&t.model),
            unknown(&t.firmware),
            BLANK.into(),
        ]
    });
    section.table(
        &["Token", "Make", "Label", "Serial number", "Model", "Firmware", "Bag number"],
        rows.collect(),
    );
    let rows =
        plan.environment.materials.iter().map(|m| vec![m.clone(), BLANK.into(), BLANK.into()]);
    section.table(&["Material", "Number or SHA-256", "Initials"], rows.collect());
    let rows = plan.secrets.iter().map(|(name, s)| {
        let how = match (&s.share, &s.holder) {
            (Some(share), _) => format!(
                "{} of {} shares, held by the role {}",
                share.threshold, share.of, share.role
            ),
            (None, Some(holder)) => format!("held by the role {holder}"),
            (None, None) => String::new(),
        };
        vec![name.clone(), how, BLANK.into()]
    });
    section.table(&["Secret", "Who holds it", "Envelope numbers"], rows.collect());
}

/// What each certificate will say beside its names, key and times.
fn profiles(plan: &Plan, section: &mut Section) {
    let rows = plan.profiles.iter().map(|(name, p)| {
        let path = p.path_length.map_or_else(String::new, |n| n.to_string());
        let cps = p.cps.iter().map(|url| format!("CPS {url}"));
        let policies: Vec<String> = p.policies.iter().cloned().chain(cps).collect();
        let crl = p.crl_urls.iter().map(|url| format!("CRL {url}"));
        let issuer = p.aia_urls.iter().map(|url| format!("issuer {url}"));
        let usage = p.extended_key_usage.iter().map(|oid| format!("key usage {oid}"));
        let names = p.dns_names.iter().map(|dns| format!("DNS {dns}"));
        let more: Vec<String> = crl.chain(issuer).chain(usage).chain(names).collect();
        let kind = format!("{}, {}", p.kind.name(), p.validity);
        vec![name.clone(), kind, path, policies.join("\n"), more.join("\n")]
    });
    let head = ["Profile", "Kind, validity", "Path length", "Policies", "Addresses and more"];
    section.table(&head, rows.collect());
}

fn opening(plan: &Plan, section: &mut Section) {
    let rows = [
        "The door is closed; the time and everybody in the room are noted.".to_owned(),
        "The machine is started from its measured medium; no network is connected.".to_owned(),
        format!(
            "The program is started; its SHA-256 is {}.",
            plan.environment.tool_sha256.as_deref().unwrap_or("compared with the approved one")
        ),
        "The names of all people are typed.".to_owned(),
        format!(
            "The plan's digest is compared; two people, not of one role alone, type: {}",
            words::phrase(&plan.digest().0)
        ),
        format!(
            "One person types the time of the wall clock; {} s of difference are allowed.",
            plan.environment.clock_skew_s
        ),
    ];
    let rows = rows.into_iter().enumerate();
    let rows = rows.map(|(n, text)| vec![format!("O{}", n + 1), text, BLANK.into(), BLANK.into()]);
    section.table(&["No.", "What happens", "Time", "Initials"], rows.collect());
}

fn steps(plan: &Plan, section: &mut Section) {
    let digest = plan.digest();
    let rows = plan.steps.iter().enumerate().map(|(index, step)| {
        let mut text = format!("{} ({}, {})", step.title, step.id, step.name);
        let details = details(&step.action);
        if !details.is_empty() {
            text = format!("{text}\n{details}");
        }
        if !step.note.is_empty() {
            text = format!("{text}\n{}", step.note);
        }
        let confirm = confirmation(step, &words::phrase(&step_digest(&digest, &step.id)));
        vec![(index + 1).to_string(), text, confirm, BLANK.into(), BLANK.into()]
    });
    section.table(
        &["No.", "Step and what is expected", "Confirmed by", "Time", "Initials"],
        rows.collect(),
    );
}

fn confirmation(step: &Step, phrase: &str) -> String {
    match step.confirm {
        0 => String::new(),
        n => format!("{n} people type:\n{phrase}"),
    }
}

fn details(action: &Action) -> String {
    match action {
        Action::TokenInit(s) => {
            format!("Token {}: it must be empty; its PINs are made or typed now.", s.token)
        }
        Action::TokenClose(s) => format!("Token {}: inventory, then logged out.", s.token),
        Action::KeyGenerate(s) => {
            let attested = s.attestation.as_ref().map_or_else(String::new, |file| {
                format!(" The vendor's tool writes the key's attestation to {}.", file.display())
            });
            format!(
                "On token {}, label «{}», {}, for {} alone. Read back: sensitive, never extractable, made in the token. Self-test.{attested}",
                s.token,
                s.label,
                s.algorithm.name(),
                s.purpose.name()
            )
        }
        Action::CertSelfSigned(s) => {
            format!("Subject {}; profile {}; file {}.", s.subject, s.profile, s.out)
        }
        Action::CsrCreate(s) => format!(
            "Subject {}; key {}; file {}. The digest's words are read aloud.",
            s.subject, s.key, s.out
        ),
        Action::CertIssue(s) => format!(
            "Issuer {}; {}; profile {}; file {}.",
            s.issuer,
            s.subject
                .as_ref()
                .map_or_else(|| "subject of the request".into(), |x| format!("subject {x}")),
            s.profile,
            s.out
        ),
        Action::CertCrossSign(s) => {
            format!("{} signs the name and key of {}; file {}.", s.issuer, s.certificate, s.out)
        }
        Action::CertRenew(s) => format!(
            "The same name and key as {}; profile {}; file {}.",
            s.certificate, s.profile, s.out
        ),
        Action::CaRekey(s) => format!("Files {} and {}.", s.out_new_with_old, s.out_old_with_new),
        Action::CrlSign(s) => format!(
            "Issuer {}; {} new entries; last CRL: {}; file {}.",
            s.issuer,
            s.revoked.len(),
            s.previous,
            s.out
        ),
        Action::KeyBackup(s) => format!(
            "Token {}.{}",
            s.token,
            s.out.as_ref().map(|o| format!(" File {o}.")).unwrap_or_default()
        ),
        Action::KeyRestore(s) => format!(
            "Keys {}: the restored one signs, the first one's public half must agree.",
            s.keys.join(", ")
        ),
        Action::KeyDestroy(s) => format!(
            "Key {}: {}. Copies to be destroyed: {}.",
            s.key,
            s.reason,
            if s.copies.is_empty() { "none".into() } else { s.copies.join(", ") }
        ),
        Action::ImportCsr(s) => format!(
            "File {}; expected: {}, {}. Its words are compared with the requester's paper.",
            s.file,
            s.subject,
            s.algorithm.name()
        ),
        Action::Export(s) => {
            format!("Carries {}; signed by {}; file {}.", s.items.join(", "), s.key, s.out)
        }
        Action::HumanCheck(s) => format!(
            "{} answers: {}{}",
            s.role,
            s.text,
            s.expect.as_ref().map(|e| format!(" Expected: {e}.")).unwrap_or_default()
        ),
        Action::HumanAttest(s) => format!("Every {}: {}", s.role, s.text),
        Action::ExhibitRecord(s) => {
            format!("{} reads out of «{}»: {}.", s.role, s.name, s.fields.join(", "))
        }
    }
}

fn closing(section: &mut Section) {
    let rows = [
        "The inventories of the tokens show nothing unexpected.",
        "The fingerprint of the transcript is written here from the screen, in words, by two people:",
        "The tokens and papers go into their bags; the bags' numbers are noted in Materials.",
        "The evidence is copied to two media; the machine is switched off.",
    ];
    let rows = rows.into_iter().enumerate();
    let rows = rows
        .map(|(n, text)| vec![format!("C{}", n + 1), text.to_owned(), BLANK.into(), BLANK.into()]);
    section.table(&["No.", "What happens", "Time", "Initials"], rows.collect());
    let blank = vec![vec![BLANK.to_owned(); 8]; 4];
    section.table(&["1", "2", "3", "4", "5", "6", "7", "8"], blank);
}

fn exceptions(section: &mut Section) {
    section.text("Every departure from this script is noted here and typed into the program (!TEXT at any prompt).");
    let rows = (1..=6)
        .map(|n| vec![n.to_string(), BLANK.into(), BLANK.into(), BLANK.into(), BLANK.into()]);
    section.table(
        &["No.", "At step", "What departed, and why", "Who decided", "Initials"],
        rows.collect(),
    );
}
