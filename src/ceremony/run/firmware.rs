//! Ranges of firmware versions: `>=2.0, <3.0`.

/// One bound: the comparison and the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    operator: &'static str,
    version: Vec<u32>,
}

/// The bounds of a range; none where the text is no range.
pub(crate) fn parse(range: &str) -> Option<Vec<Bound>> {
    let bound = |text: &str| {
        let text = text.trim();
        let operator = [">=", "<=", "==", ">", "<"].into_iter().find(|o| text.starts_with(o))?;
        Some(Bound { operator, version: version(text[operator.len()..].trim())? })
    };
    range.split(',').map(bound).collect()
}

/// Whether `found` lies in the range.
pub(crate) fn accepts(bounds: &[Bound], found: &str) -> bool {
    let Some(found) = version(found) else { return false };
    bounds.iter().all(|bound| {
        let len = bound.version.len().max(found.len());
        let padded =
            |v: &[u32]| v.iter().copied().chain(std::iter::repeat(0)).take(len).collect::<Vec<_>>();
        let order = padded(&found).cmp(&padded(&bound.version));
        match bound.operator {
            ">=" => order.is_ge(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            "<" => order.is_lt(),
            _ => order.is_eq(),
        }
    })
}

fn version(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_by_number() {
        let range = parse(">=2.9, <3").unwrap();
        for (version, fits) in
            [("2.9", true), ("2.10", true), ("2.8", false), ("3.0", false), ("x", false)]
        {
            assert_eq!(accepts(&range, version), fits, "{version}");
        }
        assert!(accepts(&parse("==7.8").unwrap(), "7.8.0"));
        assert!(parse("2.0").is_none() && parse(">=").is_none() && parse("").is_none());
    }
}
