//! Plain values: how each is read from TOML.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use toml::Spanned;
use toml::de::DeValue;

use super::duration::parse_duration;
use super::error::quoted;
use super::reader::{Reader, join};
use super::schema::{Setting, Shape};

type Value<'a> = Spanned<DeValue<'a>>;

impl Setting for bool {
    const KIND: &'static str = "true or false";

    fn read(value: &Value<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let found = value.get_ref().as_bool();
        if found.is_none() {
            reader.wrong_type(value, key, Self::KIND);
        }
        found
    }
}

impl Setting for u32 {
    const KIND: &'static str = "a whole number";

    fn read(value: &Value<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(number) = value.get_ref().as_integer() else {
            reader.wrong_type(value, key, Self::KIND);
            return None;
        };
        let found = Self::from_str_radix(number.as_str(), number.radix()).ok();
        if found.is_none() {
            let problem = format!("{number} is out of range");
            reader.fail(key, problem, "choose a whole number from 0 to 4294967295");
        }
        found
    }
}

impl Setting for String {
    const KIND: &'static str = "a text";

    fn read(value: &Value<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        reader.text(value, key, Self::KIND).map(str::to_owned)
    }
}

impl Setting for PathBuf {
    const KIND: &'static str =
        "a path (a relative one starts from the configuration file's folder)";

    fn read(value: &Value<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(value, key, Self::KIND)?;
        if text.contains('\0') {
            reader.fail(key, "a path cannot hold a NUL character", "correct the path");
            return None;
        }
        Some(reader.folder().join(text))
    }
}

impl Setting for Duration {
    const KIND: &'static str = "a duration such as \"365d\", \"1h\" or \"10m\"";

    fn read(value: &Value<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(value, key, Self::KIND)?;
        let found = parse_duration(text);
        if found.is_none() {
            reader.fail(
                key,
                format!("{} is not a duration", quoted(text)),
                "write numbers with the units w, d, h, m, s, ms, such as \"365d\" or \"1h30m\"",
            );
        }
        found
    }
}

impl Setting for SocketAddr {
    const KIND: &'static str =
        "an IP address and port such as \"127.0.0.1:8080\" or \"[::1]:8080\"";

    fn read(value: &Value<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(value, key, Self::KIND)?;
        let found = text.parse().ok();
        if found.is_none() {
            reader.fail(
                key,
                format!("{} is not an IP address with a port", quoted(text)),
                "write the address in full: \"127.0.0.1:8080\" for this host only, \"0.0.0.0:80\" \
                 or \"[::]:80\" for every network; host names and bare ports are not taken",
            );
        }
        found
    }
}

impl<T: Setting> Setting for Option<T> {
    const KIND: &'static str = T::KIND;
    const ELEMENT: Option<&'static str> = T::ELEMENT;
    const SHAPE: Shape = T::SHAPE;

    fn read(value: &Value<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(value, key, reader).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Setting + PartialEq> Setting for Vec<T> {
    const KIND: &'static str = "a list";
    const ELEMENT: Option<&'static str> = Some(T::KIND);

    fn read(value: &Value<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(array) = value.get_ref().as_array() else {
            reader.wrong_type(value, key, &format!("a list, each of them {}", T::KIND));
            return None;
        };
        let mut found = Some(Self::new());
        for (index, item) in array.iter().enumerate() {
            let key = reader.element(key, index, item);
            // After the first error the rest is still read, for its own errors.
            match (T::read(item, &key, reader), &mut found) {
                (Some(item), Some(list)) if list.contains(&item) => {
                    reader.fail(&key, "this stands in the list twice", "remove one of the two");
                }
                (Some(item), Some(list)) => list.push(item),
                (None, _) => found = None,
                (Some(_), None) => {}
            }
        }
        found
    }
}

impl<T: Setting> Setting for BTreeMap<Name, T> {
    const KIND: &'static str = "a table of names";
    const SHAPE: Shape = match T::SHAPE {
        Shape::Table(keys) => Shape::Named(keys),
        other => other,
    };

    fn read(value: &Value<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.any_table(value, key)?;
        let mut found = Some(Self::new());
        for (name, value) in table {
            let path = join(key, &name.get_ref().escape_debug().to_string());
            let item = T::read(value, &path, reader);
            let Some(checked) = Name::parse(name.get_ref()) else {
                reader.fail_at(
                    name.span(),
                    &path,
                    "the name has characters that names cannot have",
                    "use 1 to 64 lower-case letters, digits, - and _, a letter or digit first",
                );
                found = None;
                continue;
            };
            match (item, &mut found) {
                (Some(item), Some(map)) => {
                    map.insert(checked, item);
                }
                _ => found = None,
            }
        }
        found
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

/// The name of a token, CA, profile or endpoint: it appears in logs, in the ledger and in messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Name(String);

impl Name {
    /// `text`, if it is 1 to 64 lower-case letters, digits, `-` and `_`, a letter or digit first.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = text.bytes().all(|b| plain(b) || b == b'-' || b == b'_')
            && text.bytes().next().is_some_and(plain)
            && text.len() <= 64;
        good.then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Setting for Name {
    const KIND: &'static str = "a name: lower-case letters, digits, - and _";

    fn read(value: &Value<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(value, key, Self::KIND)?;
        let found = Self::parse(text);
        if found.is_none() {
            let problem = format!("{} is not a name", quoted(text));
            reader.fail(key, problem, format!("expected {}", Self::KIND));
        }
        found
    }
}
