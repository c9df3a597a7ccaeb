//! Which path leads to which endpoint.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::HeaderValue;
use bytes::Bytes;

use super::document::Document;
use crate::scep::transport::percent_decode;
use crate::wire::frontend::{Document as DocumentDescription, EndpointDescription};

/// What clients append to the URL that they were given (`docs/scep.md` row 8).
const PROGRAM: &str = "/pkiclient.exe";

/// Paths that other servers fix and that clients therefore try by themselves, without their variants:
/// RFC 8894 section 4.1, and Microsoft's.
const FIXED: [&str; 2] = ["/cgi-bin", "/certsrv/mscep/mscep.dll"];

/// An endpoint as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The name in the configuration.
    pub(super) name: String,
    /// Whether PKIOperation may come by GET.
    pub(super) get_pki_operation: bool,
    /// The body of GetCACaps.
    pub(super) caps: Bytes,
    /// The media type of GetCACert.
    pub(super) ca_content_type: HeaderValue,
    /// The body of GetCACert.
    pub(super) ca_body: Bytes,
    /// The body of GetNextCACert, where there is one.
    pub(super) next_ca: Option<Bytes>,
}

/// Every path that is served.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    paths: HashMap<Vec<u8>, Arc<Endpoint>>,
    /// Microsoft's paths, in lower case: on its servers they are the same in any case.
    fixed: HashMap<Vec<u8>, Arc<Endpoint>>,
    /// What is published as it is, by its path.
    documents: HashMap<Vec<u8>, Document>,
}

impl Directory {
    /// From the signer's description. An endpoint of which one part cannot be served is left out, with
    /// an error in the log; a path that two endpoints claim goes to the first.
    pub(super) fn new(endpoints: Vec<EndpointDescription>) -> Self {
        let mut directory = Self::default();
        let alone = endpoints.len() == 1;
        for described in endpoints {
            let Ok(ca_content_type) = HeaderValue::from_str(&described.ca_content_type) else {
                log::error!(endpoint = described.name; "the signer's media type for GetCACert is no \
                    header value; the endpoint is not served");
                continue;
            };
            let endpoint = Arc::new(Endpoint {
                name: described.name,
                get_pki_operation: described.get_pki_operation,
                caps: described.caps.into(),
                ca_content_type,
                ca_body: described.ca_body.into(),
                next_ca: described.next_ca.map(Bytes::from),
            });
            for path in &described.paths {
                directory.claim(path, &endpoint);
            }
            if (described.default || alone) && directory.fixed.is_empty() {
                for variant in FIXED.iter().flat_map(|path| variants(path)) {
                    directory.fixed.insert(variant.to_ascii_lowercase(), Arc::clone(&endpoint));
                }
                // A folder of a web server, not an endpoint of its own.
                directory.fixed.remove(b"/cgi-bin".as_slice());
                directory.fixed.remove(b"/cgi-bin/".as_slice());
            }
        }
        directory
    }

    /// With what is published beside the endpoints.
    #[must_use]
    pub(super) fn publishing(mut self, documents: Vec<DocumentDescription>) -> Self {
        for described in documents {
            let path = described.path.clone();
            match Document::new(described) {
                Some(document) => {
                    self.documents.insert(path.into_bytes(), document);
                }
                None => {
                    log::error!(path = path; "the signer's document has no lawful header; it is \
                    not served");
                }
            }
        }
        self
    }

    /// The document at `path`, given as it stands in the URL.
    pub(super) fn document(&self, path: &str) -> Option<&Document> {
        self.documents.get(&percent_decode(path.as_bytes()))
    }

    fn claim(&mut self, path: &str, endpoint: &Arc<Endpoint>) {
        for variant in variants(path) {
            let holder = self.paths.entry(variant).or_insert_with(|| Arc::clone(endpoint));
            if holder.name != endpoint.name {
                log::error!(endpoint = endpoint.name, holder = holder.name, path = path;
                    "two endpoints claim one path; the first has it");
            }
        }
    }

    /// The endpoint at `path`, given as it stands in the URL.
    pub(super) fn find(&self, path: &str) -> Option<&Arc<Endpoint>> {
        let path = percent_decode(path.as_bytes());
        self.paths.get(&path).or_else(|| self.fixed.get(&path.to_ascii_lowercase()))
    }

    /// How many endpoints have a path.
    pub(super) fn endpoints(&self) -> usize {
        let mut names: Vec<_> = self.paths.values().map(|endpoint| &endpoint.name).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    }
}

/// The forms in which clients ask for `path`: as it is, with a slash, with the program's name.
fn variants(path: &str) -> [Vec<u8>; 3] {
    let bare = path.strip_suffix(PROGRAM).unwrap_or(path).trim_end_matches('/');
    ["", "/", PROGRAM].map(|end| {
        let variant = format!("{bare}{end}");
        if variant.is_empty() { b"/".to_vec() } else { variant.into_bytes() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, paths: &[&str], default: bool) -> EndpointDescription {
        EndpointDescription {
            name: name.to_owned(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            default,
            get_pki_operation: true,
            caps: b"AES\n".to_vec(),
            ca_content_type: "application/x-x509-ca-cert".to_owned(),
            ca_body: vec![0x30, 0],
            next_ca: None,
        }
    }

    fn finds(directory: &Directory, path: &str) -> Option<String> {
        directory.find(path).map(|endpoint| endpoint.name.clone())
    }

    /// `docs/scep.md` rows 7 and 8.
    #[test]
    fn every_variant_leads_to_the_endpoint() {
        let directory = Directory::new(vec![
            endpoint("a", &["/scep/a", "/old/pkiclient.exe"], false),
            endpoint("b", &["/scep/b/"], true),
        ]);
        for path in ["/scep/a", "/scep/a/", "/scep/a/pkiclient.exe", "/scep/%61", "/old/"] {
            assert_eq!(finds(&directory, path).as_deref(), Some("a"), "{path}");
        }
        for path in [
            "/scep/b",
            "/scep/b/",
            "/cgi-bin/pkiclient.exe",
            "/certsrv/mscep/mscep.dll",
            "/CertSrv/mscep/MSCEP.DLL/",
            "/certsrv/mscep/mscep.dll/pkiclient.exe",
        ] {
            assert_eq!(finds(&directory, path).as_deref(), Some("b"), "{path}");
        }
        for path in ["", "/", "/scep", "/scep/A", "/scep/a//", "/cgi-bin", "/cgi-bin/", "/scep/a/x"]
        {
            assert_eq!(finds(&directory, path), None, "{path}");
        }
        assert_eq!(directory.endpoints(), 2);
    }

    #[test]
    fn the_only_endpoint_is_the_default_and_the_first_of_several_is_not() {
        let one = Directory::new(vec![endpoint("a", &["/scep/a"], false)]);
        assert_eq!(finds(&one, "/cgi-bin/pkiclient.exe").as_deref(), Some("a"));
        let two = vec![endpoint("a", &["/a"], false), endpoint("b", &["/b"], false)];
        assert_eq!(finds(&Directory::new(two), "/cgi-bin/pkiclient.exe"), None);
    }

    #[test]
    fn a_configured_path_wins_over_a_fixed_one_and_the_first_over_the_second() {
        let directory = Directory::new(vec![
            endpoint("a", &["/x"], true),
            endpoint("b", &["/x", "/cgi-bin/pkiclient.exe"], true),
        ]);
        assert_eq!(finds(&directory, "/x").as_deref(), Some("a"));
        assert_eq!(finds(&directory, "/cgi-bin/pkiclient.exe").as_deref(), Some("b"));
        assert_eq!(finds(&directory, "/certsrv/mscep/mscep.dll").as_deref(), Some("a"));
    }

    #[test]
    fn the_root_can_be_an_endpoint() {
        let directory = Directory::new(vec![endpoint("a", &["/"], false)]);
        assert_eq!(finds(&directory, "/").as_deref(), Some("a"));
        assert_eq!(finds(&directory, "/pkiclient.exe").as_deref(), Some("a"));
    }

    #[test]
    fn what_cannot_be_a_header_is_left_out() {
        let mut bad = endpoint("bad", &["/bad"], false);
        bad.ca_content_type = "text/plain\r\nX: y".to_owned();
        let directory = Directory::new(vec![bad, endpoint("a", &["/a"], false)]);
        assert_eq!((finds(&directory, "/bad"), directory.endpoints()), (None, 1));
    }
}
