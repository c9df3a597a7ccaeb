//! Makes text from anywhere safe to log: one line, no terminal sequences, of bounded length.

use std::fmt::{self, Display, Write as _};

use log::kv::{Key, Source, Value, VisitSource};

/// The longest message, in characters.
pub(super) const MAX_MESSAGE: usize = 2048;

/// The longest value of a field, in characters.
pub(super) const MAX_VALUE: usize = 512;

/// How many fields a record may have.
const MAX_FIELDS: usize = 32;

/// `value` as text for a log or a terminal: control characters and such that reorder text are
/// escaped, and what is longer than `max` characters is cut.
pub fn clean(value: &dyn Display, max: usize) -> String {
    let mut bounded = Bounded { text: String::new(), left: max };
    // The error means "full", and nothing else can fail.
    if write!(bounded, "{value}").is_err() {
        bounded.text.push('…');
    }
    bounded.text
}

/// The fields of a record, cleaned.
pub(super) fn fields(source: &dyn Source) -> Vec<(String, String)> {
    let mut found = Fields(Vec::new());
    // A source that fails half-way leaves what it gave so far.
    let _ = source.visit(&mut found);
    found.0
}

struct Bounded {
    text: String,
    left: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            if is_hostile(c) {
                self.text.extend(c.escape_default());
            } else {
                self.text.push(c);
            }
        }
        Ok(())
    }
}

/// Control characters, and those that reorder or break lines of text on a screen.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

struct Fields(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        if self.0.len() < MAX_FIELDS {
            self.0.push((field_name(key.as_str()), clean(&value, MAX_VALUE)));
        }
        Ok(())
    }
}

/// The field's name: letters, digits and `_`. A name that the record has already for itself gets a
/// prefix, so that it can neither hide nor double it.
fn field_name(key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = key.chars().take(48).map(plain).collect();
    match name.as_str() {
        "message" | "priority" | "level" | "time" | "role" | "" => format!("field_{name}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_record_itself_are_not_taken() {
        assert_eq!(field_name("message"), "field_message");
        assert_eq!(field_name("PRIORITY"), "field_priority");
        assert_eq!(field_name("key-id\n"), "key_id_");
        assert_eq!(field_name("serial"), "serial");
    }

    #[test]
    fn a_value_that_never_ends_is_cut_while_it_is_written() {
        struct Endless;
        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("x")?;
                }
            }
        }
        assert_eq!(clean(&Endless, 5), "xxxxx…");
        assert_eq!(clean(&"12345", 5), "12345");
    }

    proptest! {
        #[test]
        fn nothing_hostile_is_left(text in ".*", control in "[\\x00-\\x1f\\x7f\u{85}\u{202e}\u{2028}]{0,9}") {
            let cleaned = clean(&format!("{text}{control}"), 100);
            prop_assert!(!cleaned.chars().any(is_hostile), "{cleaned:?}");
            prop_assert!(cleaned.chars().count() <= 100 * 10 + 1);
        }
    }
}
