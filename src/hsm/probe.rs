//! A look at a module that has no profile yet: what it offers, and how it behaves with a key that
//! lives for the length of one session. What is found becomes a draft of a profile.

use std::fmt::Write as _;
use std::path::Path;

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use openssl::bn::BigNum;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;

use super::error::HsmError;
use super::module::ModuleUse;
use super::objects::modulus;
use super::offer::{self, MechanismOffer};
use super::profile::{LABORATORY, Profile};
use super::provision::auth_pin;
use super::retry::{Failure, code_name};
use super::token::{Found, TokenSelector, all, find};
use super::unwrap::encrypted;
use crate::cms::KeyTransport;
use crate::pki::PublicKey;
use crate::secret::Secret;

/// So many sessions are opened at most.
const SESSIONS: usize = 64;

/// What was found in a module.
#[derive(Clone, Debug)]
pub struct Probed {
    /// One line a finding, for people.
    pub findings: Vec<String>,
    /// The draft of a profile, as TOML that [`Profile::load`] reads.
    pub draft: String,
}

/// Behaviour that needs a login; every field is none where it could not be found out.
#[derive(Default)]
struct Behaviour {
    read_only_refused: Option<bool>,
    sessions: Option<usize>,
    raw_decrypts: Option<bool>,
    handles_stay: Option<bool>,
    id_kept: Option<usize>,
}

/// Looks at the module at `path`. Without `token` the only token that is there is taken. With a PIN it logs
/// in once and works with a session key: nothing stays on the token. Errors: what keeps it from looking at all.
pub fn probe(
    path: &Path,
    token: Option<&TokenSelector>,
    pin: Option<&Secret>,
) -> Result<Probed, HsmError> {
    // Of the profile only what loading needs is used, which is the same for every module.
    let module = ModuleUse::open(path, &Profile::load(LABORATORY)?)?;
    let context = module.context();
    let call = |what: &str, failure| HsmError::Call { what: what.into(), failure };
    let library =
        context.get_library_info().map_err(|e| call("asking for the library", e.into()))?;
    let library = format!(
        "{} {}, PKCS#11 {}",
        library.library_description().trim_matches(['\0', ' ']),
        library.library_version(),
        library.cryptoki_version()
    );
    let mut findings = vec![format!("library: {library}")];
    let present = all(context).map_err(|f| call("listing the tokens", f))?;
    findings.extend(present.iter().map(|t| format!("token: {}", t.description)));
    let found = match (token, present.as_slice()) {
        (Some(selector), _) => find(context, selector)?,
        (None, [one]) => one.clone(),
        (None, several) => {
            return Err(HsmError::TokenAmbiguous {
                wanted: "any label".into(),
                found: several.iter().map(|t| t.description.clone()).collect(),
            });
        }
    };
    let offers = offer::list(context, found.slot)
        .map_err(|e| call("asking for the mechanisms", e.into()))?;
    findings.extend(
        offers.iter().map(|o| format!("mechanism: {} {}-{}", o.name, o.min_bits, o.max_bits)),
    );
    let limit = format!("{:?}", found.info.max_session_count());
    findings.push(format!("sessions that the token says it allows: {limit}"));
    let mut behaviour = Behaviour::default();
    match pin {
        None => findings.push("behaviour: not tried, for that needs a PIN".into()),
        Some(pin) => behave(&module, &found, pin, &mut behaviour, &mut findings)?,
    }
    let draft = draft(path, &library, &found, &offers, &behaviour, &findings);
    Ok(Probed { findings, draft })
}

fn behave(
    module: &ModuleUse,
    found: &Found,
    pin: &Secret,
    behaviour: &mut Behaviour,
    findings: &mut Vec<String>,
) -> Result<(), HsmError> {
    let context = module.context();
    let call = |what: &str, e: Error| HsmError::Call { what: what.into(), failure: e.into() };
    let read_only = context.open_ro_session(found.slot);
    behaviour.read_only_refused = Some(read_only.is_err());
    findings.push(format!("read-only sessions: {}", said(&read_only)));
    drop(read_only);
    super::login::Login::check_flags(found)
        .map_err(|e| super::connection::login_error(e, &found.description))?;
    let session = context.open_rw_session(found.slot).map_err(|e| call("opening a session", e))?;
    let pin = auth_pin(pin, "the user's PIN")?;
    session.login(UserType::User, Some(&pin)).map_err(|e| HsmError::PinRefused {
        token: found.description.label.clone(),
        cause: Failure::from(e).to_string(),
    })?;
    let mut open = Vec::new();
    let refused = loop {
        match context.open_rw_session(found.slot) {
            Ok(session) if open.len() < SESSIONS => open.push(session),
            Ok(_) => break None,
            Err(e) => break Some(Failure::from(e)),
        }
    };
    behaviour.sessions = Some(open.len() + 1);
    findings.push(match refused {
        Some(failure) => format!("sessions opened: {}, then {failure}", open.len() + 1),
        None => format!("sessions opened: more than {SESSIONS}"),
    });
    drop(open);
    match session_key(&session) {
        Ok((key, public)) => with_key(&session, key, &public, behaviour, findings),
        Err(cause) => findings.push(format!(
            "a key for this session cannot be made ({cause}), so decryption was not tried"
        )),
    }
    let keys = || session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]);
    let before = keys().map_err(|e| call("listing the private keys", e))?;
    let again = session.logout().and_then(|()| session.login(UserType::User, Some(&pin)));
    again.map_err(|e| call("logging out and in again", e))?;
    let after = keys().map_err(|e| call("listing the private keys", e))?;
    if before.is_empty() || after.is_empty() {
        findings.push("handles after a new login: not tried, the token has no private key".into());
    } else {
        let stay = after.iter().all(|key| before.contains(key));
        behaviour.handles_stay = Some(stay);
        let word = if stay { "the same" } else { "others" };
        findings.push(format!("handles after a new login: {word}"));
    }
    Ok(())
}

/// An RSA key that ends with the session, with the longest CKA_ID that profiles have.
fn session_key(session: &Session) -> Result<(ObjectHandle, PublicKey), String> {
    let text = |e: Error| Failure::from(e).to_string();
    let id = Attribute::Id(vec![0x5a; 64]);
    let public = [
        Attribute::Token(false),
        Attribute::ModulusBits(2048.into()),
        Attribute::PublicExponent(vec![1, 0, 1]),
        Attribute::Encrypt(true),
        id.clone(),
    ];
    let private = [
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Decrypt(true),
        id,
    ];
    let made = session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private);
    let (_, key) = made.map_err(text)?;
    let n = modulus(session, key).map_err(text)?.ok_or("it shows no modulus")?;
    let built = BigNum::from_slice(&n)
        .and_then(|n| Rsa::from_public_components(n, BigNum::from_u32(65537)?))
        .and_then(PKey::from_rsa)
        .map_err(|e| e.to_string())?;
    let public = PublicKey::from_openssl(&built).map_err(|e| e.to_string())?;
    Ok((key, public))
}

/// How the module decrypts what is well and what is badly padded.
fn with_key(
    session: &Session,
    key: ObjectHandle,
    public: &PublicKey,
    behaviour: &mut Behaviour,
    findings: &mut Vec<String>,
) {
    behaviour.id_kept = Some(64);
    let Ok(good) = encrypted(public, KeyTransport::RsaPkcs1v15, &[7; 16]) else { return };
    let raw = session.decrypt(&Mechanism::RsaX509, key, &good);
    // Modules may leave the leading zero out.
    let whole = raw.as_ref().is_ok_and(|block| block.ends_with(&[7; 16]) && block.len() >= 255);
    behaviour.raw_decrypts = Some(whole);
    findings.push(format!("C_Decrypt, CKM_RSA_X_509: {}", said(&raw)));
    let mut bad = good.clone();
    if let Some(last) = bad.last_mut() {
        *last ^= 1;
    }
    for (what, ciphertext) in [("good", &good), ("bad", &bad)] {
        let answer = session.decrypt(&Mechanism::RsaPkcs, key, ciphertext);
        let length = answer.as_ref().map_or(0, Vec::len);
        findings.push(format!(
            "C_Decrypt, CKM_RSA_PKCS, {what} padding: {} ({length} bytes)",
            said(&answer)
        ));
    }
}

fn said<T>(result: &Result<T, Error>) -> String {
    match result {
        Ok(_) => "CKR_OK".into(),
        Err(Error::Pkcs11(code, _)) => code_name(*code),
        Err(other) => other.to_string(),
    }
}

/// The profile as far as it is known; what is a guess says so.
fn draft(
    path: &Path,
    library: &str,
    found: &Found,
    offers: &[MechanismOffer],
    behaviour: &Behaviour,
    findings: &[String],
) -> String {
    let has = |name: &str| offers.iter().any(|o| o.name == name);
    let way = |raw: &str, hashed: &str| match (has(raw), has(hashed)) {
        (true, _) => "raw",
        (_, true) => "sha-in-module",
        _ => "none",
    };
    let rsa = if has("CKM_RSA_PKCS") { "raw-digestinfo" } else { "sha-in-module" };
    let raw = behaviour.raw_decrypts.unwrap_or_else(|| has("CKM_RSA_X_509"));
    let decrypt = match raw {
        true => "rsa_decrypt = \"raw\"\n".to_owned(),
        false => "rsa_decrypt = \"pkcs1\"\nrsa_decrypt_floor_ms = 250  # a guess: choose above the 99.9th percentile of C_Decrypt\n".into(),
    };
    let quoted =
        |text: &str| format!("{:?}", text.chars().filter(|c| !c.is_control()).collect::<String>());
    let mut out = String::from("# A draft that `chancery hsm probe` wrote. Found:\n");
    for finding in findings {
        let _ = writeln!(out, "#   {finding}");
    }
    let _ = write!(
        out,
        "# Go through it line by line with the vendor's manual; pkcs11-profiles/README.md explains the fields.\n\
         name = {}\ntried = {}\nmodules = [{}]\n# conf_env = \"...\"  # the variable that names the module's configuration file, if it has one\n\n\
         [sessions]\nlanes = 1  # not measured: as many operations as the device does at a time\nread_write = {}\n\
         call_timeout_seconds = 30\n\n\
         [mechanisms]\nsign_rsa = \"{rsa}\"\nsign_pss = \"{}\"\nsign_ecdsa = \"{}\"\nsign_eddsa = {}\nsign_ml_dsa = {}\n{decrypt}oaep_hashes = []\n\n\
         [keys]\nid_max = {}  # {}\nlabel_max = 32  # not measured\ned25519_parameters = \"oid\"  # not measured\n\n\
         [audit]\nnot_reported = []\n",
        quoted(&found.description.model),
        quoted(&format!("probed with {library}")),
        quoted(&path.display().to_string()),
        behaviour.read_only_refused.unwrap_or(false),
        way("CKM_RSA_PKCS_PSS", "CKM_SHA256_RSA_PKCS_PSS"),
        way("CKM_ECDSA", "CKM_ECDSA_SHA256"),
        has("CKM_EDDSA"),
        has("CKM_ML_DSA"),
        behaviour.id_kept.unwrap_or(16),
        if behaviour.id_kept.is_some() {
            "a key with so long a CKA_ID was made"
        } else {
            "not measured"
        },
    );
    out
}
