//! Data objects (CKO_DATA): a short value that a token keeps beside its keys.

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::connection::Hsm;
use super::error::HsmError;
use super::provision::Owned;

/// CKA_APPLICATION of our objects.
const APPLICATION: &[u8] = b"chancery";

impl Hsm {
    /// The values of the token's private data objects with CKA_LABEL `label`: none before the first
    /// [`Hsm::replace_data_object`], two where one was cut off. Blocks (C_FindObjects).
    pub fn data_objects(&self, label: &str) -> Result<Vec<Vec<u8>>, HsmError> {
        self.with_session(&format!("reading the data object \"{label}\""), |session| {
            let mut values = Vec::new();
            for object in find(session, label)? {
                let attributes = session.get_attributes(object, &[AttributeType::Value])?;
                values.extend(attributes.into_iter().find_map(|attribute| match attribute {
                    Attribute::Value(value) => Some(value),
                    _ => None,
                }));
            }
            Ok(values)
        })
    }

    /// Puts `value` in the place of the private data objects with CKA_LABEL `label`. The new one is made
    /// before the old ones are destroyed, so that there is one at any moment. Blocks (C_CreateObject,
    /// C_DestroyObject).
    pub fn replace_data_object(&self, label: &str, value: &[u8]) -> Result<(), HsmError> {
        self.with_session(&format!("writing the data object \"{label}\""), |session| {
            let old = find(session, label)?;
            let mut template = named(label);
            template.extend([
                Attribute::Token(true),
                Attribute::Modifiable(false),
                Attribute::Application(APPLICATION.to_vec()),
                Attribute::Value(value.to_vec()),
            ]);
            session.create_object(&template)?;
            old.into_iter().try_for_each(|object| session.destroy_object(object))
        })
    }

    /// Calls `work` with a session that may write. The login is that of the worker threads.
    pub(super) fn with_session<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Session) -> Result<T, Error>,
    ) -> Result<T, HsmError> {
        let failed = |e: Error| HsmError::Call { what: what.into(), failure: e.into() };
        let _inside = self.shared.module.enter();
        let owned = Owned::open(&self.shared.module, self.shared.slot()).map_err(failed)?;
        work(owned.get().map_err(failed)?).map_err(failed)
    }
}

/// What tells our objects from others. They are private ones: without the PIN nobody makes, changes or
/// destroys one.
fn named(label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::DATA),
        Attribute::Private(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ]
}

fn find(session: &Session, label: &str) -> Result<Vec<ObjectHandle>, Error> {
    session.find_objects(&named(label))
}
