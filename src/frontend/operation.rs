//! Which operation a request asks for (RFC 8894 section 4.1), before anything else is looked at.

use axum::http::Method;

use super::query::Query;
use crate::scep::transport::percent_decode;

/// An operation that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Section 3.5.
    GetCaCaps,
    /// Section 4.2.
    GetCaCert,
    /// Section 4.7.
    GetNextCaCert,
    /// Section 4.3.
    Pki,
}

impl Operation {
    /// The name on the wire, also in the access log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::GetCaCaps => "GetCACaps",
            Self::GetCaCert => "GetCACert",
            Self::GetNextCaCert => "GetNextCACert",
            Self::Pki => "PKIOperation",
        }
    }
}

/// Why a request asks for no operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoOperation {
    /// Neither GET nor POST.
    Method,
    /// POST is for PKIOperation alone.
    NotByPost(Operation),
    /// The parameter is missing or names nothing that is served.
    Unknown,
    /// A parameter is there twice.
    Ambiguous,
}

/// The operation of a request. By POST only PKIOperation is possible, so its name may be missing.
pub(super) fn of(method: &Method, query: &Query<'_>) -> Result<Operation, NoOperation> {
    let by_post = match *method {
        Method::GET => false,
        Method::POST => true,
        _ => return Err(NoOperation::Method),
    };
    if query.ambiguous {
        return Err(NoOperation::Ambiguous);
    }
    let operation = match (query.operation, by_post) {
        (None | Some(""), true) => Operation::Pki,
        (None, false) => return Err(NoOperation::Unknown),
        (Some(name), _) => match percent_decode(name.as_bytes()).as_slice() {
            b"GetCACaps" => Operation::GetCaCaps,
            b"GetCACert" => Operation::GetCaCert,
            b"GetNextCACert" => Operation::GetNextCaCert,
            b"PKIOperation" => Operation::Pki,
            _ => return Err(NoOperation::Unknown),
        },
    };
    if by_post && operation != Operation::Pki {
        return Err(NoOperation::NotByPost(operation));
    }
    Ok(operation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, query: &str) -> Result<Operation, NoOperation> {
        of(&method, &Query::parse(query))
    }

    /// `docs/scep.md` rows 4, 13 and 23.
    #[test]
    fn operations_are_told_apart() {
        use Method as M;
        let table = [
            (M::GET, "operation=GetCACaps", Ok(Operation::GetCaCaps)),
            (M::GET, "operation=GetCACaps&message=0", Ok(Operation::GetCaCaps)),
            (M::GET, "message=CAIdentifier&operation=GetCACert", Ok(Operation::GetCaCert)),
            (M::GET, "operation=GetNextCACert", Ok(Operation::GetNextCaCert)),
            (M::GET, "operation=PKIOperation&message=MII=", Ok(Operation::Pki)),
            (M::GET, "operation=PKI%4Fperation", Ok(Operation::Pki)),
            (M::POST, "operation=PKIOperation", Ok(Operation::Pki)),
            (M::POST, "", Ok(Operation::Pki)),
            (M::POST, "message=", Ok(Operation::Pki)),
            (M::POST, "operation=GetCACert", Err(NoOperation::NotByPost(Operation::GetCaCert))),
            (M::POST, "operation=Sign", Err(NoOperation::Unknown)),
            (M::GET, "", Err(NoOperation::Unknown)),
            (M::GET, "operation=", Err(NoOperation::Unknown)),
            (M::GET, "operation=getcacaps", Err(NoOperation::Unknown)),
            (M::GET, "operation=GetCACaps&operation=GetCACaps", Err(NoOperation::Ambiguous)),
            (M::HEAD, "operation=GetCACaps", Err(NoOperation::Method)),
            (M::TRACE, "operation=GetCACaps", Err(NoOperation::Method)),
            (M::PUT, "", Err(NoOperation::Method)),
        ];
        for (method, query, expected) in table {
            assert_eq!(asked(method.clone(), query), expected, "{method} {query}");
        }
    }
}
