//! Making tokens and keys, for laboratories and ceremonies; the daemon never does.

use std::path::Path;

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use super::connection::Hsm;
use super::error::{HsmError, KeyProblem};
use super::event::EVENT;
use super::keys::{KeyPurpose, described};
use super::module::ModuleUse;
use super::objects::{ED25519_NAME, ED25519_OID, P256, P384, P521, ml_dsa_parameters, read_public};
use super::profile::{Ed25519Parameters, Profile};
use super::retry::Failure;
use super::token::{TokenDescription, TokenSelector, all, find};
use crate::pki::{KeyKind, PublicKey};
use crate::random::{Random, bytes};
use crate::secret::Secret;

/// A key pair that was made.
#[derive(Clone, Debug)]
pub struct GeneratedKey {
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID, 16 random bytes unless the caller chose it.
    pub id: Vec<u8>,
    /// The public half.
    pub public_key: PublicKey,
}

/// SoftHSM's configuration file with its tokens in `tokens`.
pub fn softhsm_conf(tokens: &Path) -> String {
    format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n\
         slots.removable = false\n",
        tokens.display()
    )
}

/// Initialises an empty token of the module with `label` and sets both PINs. A token that is
/// initialised is never touched.
pub fn init_token(
    profile: &Profile,
    module: Option<&Path>,
    label: &str,
    so_pin: &Secret,
    user_pin: &Secret,
) -> Result<TokenDescription, HsmError> {
    let path = profile.module_path(module)?;
    let module = ModuleUse::open(&path, profile)?;
    let failed = |what: &str, failure| HsmError::Call { what: what.into(), failure };
    let context = module.context();
    let selector = TokenSelector::Label(label.into());
    let present = all(context).map_err(|f| failed("listing the tokens", f))?;
    if present.iter().any(|t| t.description.label == label) || label.is_empty() || label.len() > 32
    {
        return Err(HsmError::System {
            what: format!("initialising a token \"{}\"", label.escape_debug()),
            cause: "a label has 1 to 32 bytes, and no token may have it already".into(),
        });
    }
    let slots = context.get_slots_with_token();
    let slots = slots.map_err(|e| failed("listing the slots", e.into()))?;
    let empty = slots
        .into_iter()
        .find(|slot| context.get_token_info(*slot).is_ok_and(|info| !info.token_initialized()));
    let slot = empty.ok_or_else(|| HsmError::System {
        what: format!("initialising a token \"{label}\""),
        cause: "the module has no token that is not initialised yet".into(),
    })?;
    let so_pin = auth_pin(so_pin, "the security officer's PIN")?;
    let user_pin = auth_pin(user_pin, "the user's PIN")?;
    let initialised = context.init_token(slot, &so_pin, label);
    initialised.map_err(|e| failed("initialising the token", e.into()))?;
    // The slot may have another number from here on.
    let found = find(context, &selector)?;
    let session = context
        .open_rw_session(found.slot)
        .map_err(|e| failed("opening a session for the security officer", e.into()))?;
    session
        .login(UserType::So, Some(&so_pin))
        .map_err(|e| failed("logging in as security officer", e.into()))?;
    session.init_pin(&user_pin).map_err(|e| failed("setting the user's PIN", e.into()))?;
    session.logout().map_err(|e| failed("logging out", e.into()))?;
    drop(session);
    Ok(found.description)
}

pub(super) fn auth_pin(pin: &Secret, which: &str) -> Result<AuthPin, HsmError> {
    let text = std::str::from_utf8(pin.expose()).map_err(|_| HsmError::System {
        what: which.into(),
        cause: "it is not UTF-8 text, as PKCS#11 wants it".into(),
    })?;
    Ok(AuthPin::new(text.into()))
}

impl Hsm {
    /// Makes a key pair in the token: sensitive, not extractable, not modifiable, and good for
    /// `purpose` alone. `id` is 16 random bytes where the caller has none.
    pub fn generate_key(
        &self,
        kind: KeyKind,
        label: &str,
        id: Option<Vec<u8>>,
        purpose: KeyPurpose,
        random: &dyn Random,
    ) -> Result<GeneratedKey, HsmError> {
        let token = &self.shared.token.label;
        let drawn = match id {
            Some(id) => Ok(id),
            None => bytes::<16>(random).map(|id| id.to_vec()),
        };
        let id = drawn.map_err(|e| HsmError::System {
            what: "drawing a key's ID".into(),
            cause: e.to_string(),
        })?;
        let name = described(label, Some(&id));
        let problem = |problem| HsmError::Key { key: name.clone(), token: token.clone(), problem };
        let call = |failure| HsmError::Call { what: format!("making key {name}"), failure };
        let keys = &self.shared.profile.keys;
        if label.is_empty()
            || label.len() > keys.label_max
            || id.is_empty()
            || id.len() > keys.id_max
        {
            return Err(problem(KeyProblem::Unfit(format!(
                "this token's labels have 1 to {} bytes, its IDs 1 to {}",
                keys.label_max, keys.id_max
            ))));
        }
        let decrypts = !purpose.signs();
        let recipe = recipe(kind, keys.ed25519_parameters)
            .filter(|_| !decrypts || kind.is_rsa())
            .ok_or_else(|| {
            problem(KeyProblem::Unfit(format!("no {purpose} key is made of kind {kind}")))
        })?;
        let _inside = self.shared.module.enter();
        let owned = Owned::open(&self.shared.module, self.shared.slot());
        let owned = owned.map_err(|e| call(e.into()))?;
        let session = owned.get().map_err(|e| call(e.into()))?;
        for present in [Attribute::Id(id.clone()), Attribute::Label(label.as_bytes().to_vec())] {
            let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), present];
            if !session.find_objects(&template).map_err(|e| call(e.into()))?.is_empty() {
                return Err(problem(KeyProblem::Exists));
            }
        }
        let (public, private) = templates(&recipe, label, &id, purpose, keys.copyable);
        let made = session.generate_key_pair(&recipe.mechanism, &public, &private);
        let (public, _) = made.map_err(|e| match e {
            Error::Pkcs11(RvError::MechanismInvalid | RvError::CurveNotSupported, _) => {
                problem(KeyProblem::Unfit(format!("this token makes no keys of kind {kind}")))
            }
            other => call(other.into()),
        })?;
        let public_key = read_public(session, public)
            .map_err(|e| call(e.into()))?
            .filter(|key| key.kind() == kind)
            .ok_or_else(|| {
                problem(KeyProblem::Unreadable(
                    "the new public key is not as it was asked for".into(),
                ))
            })?;
        Ok(GeneratedKey { label: label.into(), id, public_key })
    }
}

/// A session that is closed on every way out, unless the module was re-initialised meanwhile.
pub(super) struct Owned<'a> {
    session: Option<Session>,
    module: &'a ModuleUse,
    generation: u64,
}

impl<'a> Owned<'a> {
    pub(super) fn open(module: &'a ModuleUse, slot: Slot) -> Result<Self, Error> {
        let generation = module.generation();
        let session = module.context().open_rw_session_no_drop(slot)?;
        Ok(Self { session: Some(session), module, generation })
    }

    pub(super) fn get(&self) -> Result<&Session, Error> {
        self.session.as_ref().ok_or(Error::NotSupported)
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && self.generation == self.module.generation()
            && let Err(e) = session.close()
        {
            log::debug!(event = EVENT; "closing a session: {}", Failure::from(e));
        }
    }
}

/// What is particular to a kind of key.
pub(super) struct Recipe {
    pub(super) mechanism: Mechanism<'static>,
    pub(super) key_type: KeyType,
    parameters: Vec<Attribute>,
}

pub(super) fn recipe(kind: KeyKind, ed25519: Ed25519Parameters) -> Option<Recipe> {
    let curve = |params: &[u8]| Recipe {
        mechanism: Mechanism::EccKeyPairGen,
        key_type: KeyType::EC,
        parameters: vec![Attribute::EcParams(params.to_vec())],
    };
    Some(match kind {
        KeyKind::Rsa(bits @ (2048 | 3072 | 4096)) => Recipe {
            mechanism: Mechanism::RsaPkcsKeyPairGen,
            key_type: KeyType::RSA,
            parameters: vec![
                Attribute::ModulusBits(u64::from(bits).into()),
                Attribute::PublicExponent(vec![1, 0, 1]),
            ],
        },
        KeyKind::Rsa(_) => return None,
        KeyKind::P256 => curve(P256),
        KeyKind::P384 => curve(P384),
        KeyKind::P521 => curve(P521),
        KeyKind::Ed25519 => Recipe {
            mechanism: Mechanism::EccEdwardsKeyPairGen,
            key_type: KeyType::EC_EDWARDS,
            parameters: vec![Attribute::EcParams(match ed25519 {
                Ed25519Parameters::Name => ED25519_NAME.to_vec(),
                Ed25519Parameters::Oid => ED25519_OID.to_vec(),
            })],
        },
        KeyKind::MlDsa(set) => Recipe {
            mechanism: Mechanism::MlDsaKeyPairGen,
            key_type: KeyType::ML_DSA,
            parameters: vec![Attribute::ParameterSet(ml_dsa_parameters(set).into())],
        },
    })
}

/// The public and the private template. Every usage is said, for modules differ in what they
/// assume.
pub(super) fn templates(
    recipe: &Recipe,
    label: &str,
    id: &[u8],
    purpose: KeyPurpose,
    knows_copyable: bool,
) -> (Vec<Attribute>, Vec<Attribute>) {
    let signs = purpose.signs();
    let named = || {
        [
            Attribute::Token(true),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Id(id.to_vec()),
            Attribute::KeyType(recipe.key_type),
            Attribute::Modifiable(false),
        ]
    };
    let mut public = named().to_vec();
    public.extend([
        Attribute::Private(false),
        Attribute::Verify(signs),
        Attribute::Encrypt(!signs),
        Attribute::Wrap(false),
    ]);
    public.extend(recipe.parameters.iter().cloned());
    let mut private = named().to_vec();
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(signs),
        Attribute::SignRecover(false),
        Attribute::Decrypt(!signs),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ]);
    if knows_copyable {
        private.push(Attribute::Copyable(false));
    }
    (public, private)
}
