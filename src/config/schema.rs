//! The schema's building blocks: one declaration a section gives the type, the reader, the defaults
//! and the text of `config explain`.
//!
//! Why no serde derive: serde stops at the first error, and a person who mends a configuration
//! wants all of them at once, each with its line.

use toml::Spanned;
use toml::de::DeValue;

use super::reader::Reader;

/// A value that can stand in the configuration.
pub(super) trait Setting: Sized {
    /// What it is, for errors and `config explain` (`a duration such as "90d"`).
    const KIND: &'static str;

    /// What each element of a list is.
    const ELEMENT: Option<&'static str> = None;

    /// What it holds, where that has keys of its own.
    const SHAPE: Shape = Shape::Leaf;

    /// Reads `value`, which stands at `key`; what is wrong goes to `reader`.
    fn read(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader<'_>) -> Option<Self>;

    /// The value of a key that is neither given nor has a default; `None` makes the key compulsory.
    fn absent() -> Option<Self> {
        None
    }
}

/// Whether a setting has keys of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// It has none.
    Leaf,
    /// Fixed keys.
    Table(&'static [Key]),
    /// Names that the user chooses, each with these keys.
    Named(&'static [Key]),
}

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// As it is written.
    pub name: &'static str,
    /// Its documentation, one line each.
    pub doc: &'static [&'static str],
    /// What its value is.
    pub kind: &'static str,
    /// What each element is, where it is a list.
    pub element: Option<&'static str>,
    /// Its default in TOML.
    pub default: Option<&'static str>,
    /// The least and the greatest value in TOML.
    pub range: Option<(&'static str, &'static str)>,
    /// Whether it must be given.
    pub required: fn() -> bool,
    /// Its own keys.
    pub shape: Shape,
}

/// Declares a section: a table with fixed keys. `key: Type [least, greatest] = default`, where the
/// range and the default are optional and stand as TOML.
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])*
                $field:ident : $ty:ty $([$min:literal, $max:literal])? $(= $default:tt)?
            ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
        pub struct $name {
            $( $(#[doc = $field_doc])* pub $field: $ty, )*
        }

        impl $name {
            pub(super) const KEYS: &'static [$crate::config::schema::Key] = &[
                $( $crate::config::schema::Key {
                    name: stringify!($field),
                    doc: &[$($field_doc),*],
                    kind: <$ty as $crate::config::schema::Setting>::KIND,
                    element: <$ty as $crate::config::schema::Setting>::ELEMENT,
                    default: section!(@optional $(stringify!($default))?),
                    range: section!(@optional $((stringify!($min), stringify!($max)))?),
                    required: || {
                        let default: Option<&str> = section!(@optional $(stringify!($default))?);
                        default.is_none() && <$ty as $crate::config::schema::Setting>::absent().is_none()
                    },
                    shape: <$ty as $crate::config::schema::Setting>::SHAPE,
                } ),*
            ];
        }

        impl $crate::config::schema::Setting for $name {
            const KIND: &'static str = "a table";
            const SHAPE: $crate::config::schema::Shape =
                $crate::config::schema::Shape::Table(Self::KEYS);

            fn read(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                key: &str,
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> Option<Self> {
                let table = reader.table(value, key, Self::KEYS)?;
                // All fields are read before the first that fails ends it: every error is told.
                $(
                    let $field: Option<$ty> = reader.field(
                        table,
                        key,
                        stringify!($field),
                        section!(@optional $(stringify!($default))?),
                    );
                    $( if let (Some(value), true) = (&$field, table.contains_key(stringify!($field))) {
                        reader.within(value, key, stringify!($field), stringify!($min), stringify!($max));
                    } )?
                )*
                Some(Self { $( $field: $field? ),* })
            }
        }
    };
    (@optional) => { None };
    (@optional $value:expr) => { Some($value) };
}

/// Declares a closed set of words.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident ($kind:literal) {
            $( $(#[doc = $word_doc:literal])* $variant:ident = $word:literal ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub enum $name {
            $( $(#[doc = $word_doc])* #[serde(rename = $word)] $variant ),*
        }

        impl $name {
            /// All of them as they are written.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The one that `word` names.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $( $word => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// As it is written.
            pub const fn word(self) -> &'static str {
                match self {
                    $( Self::$variant => $word ),*
                }
            }
        }

        impl $crate::config::schema::Setting for $name {
            const KIND: &'static str = concat!($kind, $(" \"", $word, "\""),*);

            fn read(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                key: &str,
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> Option<Self> {
                let word = reader.text(value, key, Self::KIND)?;
                let found = Self::from_word(word);
                if found.is_none() {
                    reader.unknown_word(key, word, Self::WORDS);
                }
                found
            }
        }
    };
}

pub(super) use {choice, section};
