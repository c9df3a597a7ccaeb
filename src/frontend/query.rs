//! The query of a SCEP URL, read as it came.
//!
//! No form decoder serves here: base64 in `message` comes with a raw `+` from some clients, and form
//! decoding turns it into a space (`docs/scep.md` row 6).

/// The parameters that SCEP knows; others are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Query<'a> {
    /// `operation`, as it came.
    pub(super) operation: Option<&'a str>,
    /// `message`, as it came, percent-escapes and all.
    pub(super) message: Option<&'a str>,
    /// Whether one of them is there twice: two readers could take different ones.
    pub(super) ambiguous: bool,
}

impl<'a> Query<'a> {
    /// Reads the part of the URL after `?`.
    pub(super) fn parse(query: &'a str) -> Self {
        let mut found = Self::default();
        for pair in query.split('&') {
            // Only the first `=` divides: base64 ends in more of them.
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "operation" => &mut found.operation,
                "message" => &mut found.message,
                _ => continue,
            };
            found.ambiguous |= slot.replace(value).is_some();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_clients_send() {
        let query = Query::parse("operation=PKIOperation&message=MII+a/b%3D=&x=1");
        assert_eq!(query.operation, Some("PKIOperation"));
        assert_eq!(query.message, Some("MII+a/b%3D="));
        assert!(!query.ambiguous);
        let query = Query::parse("message=0&operation=GetCACaps");
        assert_eq!((query.operation, query.message), (Some("GetCACaps"), Some("0")));
        assert_eq!(Query::parse(""), Query::default());
        assert_eq!(Query::parse("operation").operation, Some(""));
    }

    #[test]
    fn twice_is_ambiguous() {
        assert!(Query::parse("operation=GetCACaps&operation=PKIOperation").ambiguous);
        assert!(Query::parse("message=a&operation=x&message=a").ambiguous);
        assert!(!Query::parse("x=1&x=2&operation=x").ambiguous);
    }

    proptest! {
        #[test]
        fn any_query_is_read_without_loss(query in ".{0,200}") {
            let found = Query::parse(&query);
            if let Some(message) = found.message {
                prop_assert!(query.contains(message));
            }
        }
    }
}
