//! Subjects as plans write them: `C=SE, O=Example, CN=Example Root R1`, in the order of the
//! certificate, one attribute a part.

use der::{Encode, Tag};

use super::ArtefactError;
use crate::pki::asn1::{element, sequence};
use crate::pki::name::attribute_type;

/// The mark of a rehearsal.
const MARK: &str = "REHEARSAL ";

/// The Name in DER. Country and serial number become PrintableString, domain components IA5String,
/// everything else UTF8String (RFC 5280 section 4.1.2.4).
pub fn name(text: &str) -> Result<Vec<u8>, ArtefactError> {
    let parts = parts(text)?.into_iter().map(|(keyword, value)| {
        let oid = attribute_type(&keyword)
            .ok_or_else(|| problem(text, format!("has the unknown attribute {keyword}")))?;
        let tag = match keyword.to_ascii_uppercase().as_str() {
            "C" | "SERIALNUMBER" => Tag::PrintableString,
            "DC" => Tag::Ia5String,
            _ => Tag::Utf8String,
        };
        let printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
        let fits = match tag {
            Tag::PrintableString => value.chars().all(printable),
            Tag::Ia5String => value.is_ascii(),
            _ => !value.chars().any(char::is_control),
        };
        let upper = keyword.eq_ignore_ascii_case("C")
            && (value.len() != 2 || !value.chars().all(|c| c.is_ascii_uppercase()));
        if !fits || upper || value.is_empty() || value.chars().count() > 64 {
            return Err(problem(text, format!("has a {keyword} that is not allowed")));
        }
        let attribute = sequence(&[&oid.to_der()?, &element(tag, &[value.as_bytes()])?])?;
        Ok(element(Tag::Set, &[&attribute])?)
    });
    let parts = parts.collect::<Result<Vec<_>, ArtefactError>>()?;
    Ok(sequence(&[&parts.concat()])?)
}

/// The same subject marked as one of a rehearsal: in its common name, or in one that is added.
pub fn marked(text: &str) -> String {
    let Ok(parts) = parts(text) else { return text.to_owned() };
    let has_name = parts.iter().any(|(k, _)| k.eq_ignore_ascii_case("CN"));
    let escape = |v: &str| v.replace('\\', "\\\\").replace(',', "\\,");
    let mut out: Vec<String> = parts
        .iter()
        .map(|(k, v)| {
            let mark = if k.eq_ignore_ascii_case("CN") { MARK } else { "" };
            let whole: String = format!("{mark}{v}").chars().take(64).collect();
            format!("{k}={}", escape(&whole))
        })
        .collect();
    if !has_name {
        out.push(format!("CN={}", MARK.trim()));
    }
    out.join(", ")
}

/// The keywords and values; a backslash takes the next character literally.
fn parts(text: &str) -> Result<Vec<(String, String)>, ArtefactError> {
    let (mut parts, mut current, mut literal) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            _ if literal => {
                current.push(c);
                literal = false;
            }
            '\\' => literal = true,
            ',' => parts.push(std::mem::take(&mut current)),
            '+' => return Err(problem(text, "has a part with several values")),
            _ => current.push(c),
        }
    }
    parts.push(current);
    let split = |part: &String| match part.split_once('=') {
        Some((keyword, value)) => Ok((keyword.trim().to_owned(), value.trim().to_owned())),
        None => Err(problem(text, "has a part without =")),
    };
    parts.iter().map(split).collect()
}

fn problem(text: &str, problem: impl Into<String>) -> ArtefactError {
    ArtefactError::Subject { text: text.escape_debug().to_string(), problem: problem.into() }
}
