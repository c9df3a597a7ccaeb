//! JSON in its one canonical form (RFC 8785), for what is hashed and signed: transcript lines and
//! exchange messages. Numbers are integers only, which every JSON reader keeps exactly up to 2^53;
//! a number with a fraction is refused. By hand, because the crates for RFC 8785 bring the shortest
//! printing of floating-point numbers, which is the hard part and the one that is not wanted here.

use serde_json::Value;

/// What cannot be written canonically.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the number {0} is no integer between -2^53 and 2^53; report this, it is a defect of Chancery"
)]
pub struct CanonicalError(String);

/// `value` in the canonical form of RFC 8785, without a line's end.
pub fn to_string(value: &Value) -> Result<String, CanonicalError> {
    let mut out = String::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => {
            let exact = n.as_i64().filter(|i| i.unsigned_abs() <= 1 << 53);
            let exact = exact.ok_or_else(|| CanonicalError(n.to_string()))?;
            out.push_str(&exact.to_string());
        }
        Value::String(s) => write_text(s, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
            out.push('{');
            for (i, (name, member)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write(member, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// A string with the escapes of ECMAScript's JSON.stringify (RFC 8785 section 3.2.2.2).
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_example_of_rfc_8785() {
        // Section 3.2.3: sorting by UTF-16 code units.
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control",
            "\u{f6}": "Latin Small Letter O With Diaeresis"
        });
        let order = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
        let text = to_string(&value).unwrap();
        let places: Vec<_> = order.iter().map(|w| text.find(w).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn escapes_and_numbers() {
        let text = to_string(&json!({"b": [1, -2, null, true], "a": "\u{1}\n\"\\/é"})).unwrap();
        assert_eq!(text, "{\"a\":\"\\u0001\\n\\\"\\\\/é\",\"b\":[1,-2,null,true]}");
        assert!(to_string(&json!(1.5)).is_err());
        assert!(to_string(&json!(1u64 << 60)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text in "\\PC{0,40}|[\\x00-\\x1f\"\\\\]{0,10}") {
            let value = json!({ text.clone(): text });
            prop_assert_eq!(serde_json::from_str::<Value>(&to_string(&value).unwrap()).unwrap(), value);
        }
    }
}
