//! A vendor's attestation of a key: a file that the module's own tool writes. PKCS#11 has no function
//! for it and every vendor a format of its own, so what is checked is what can be checked of all: that
//! the file is about this key, and, where it is X.509, that each certificate is signed by the next.
//! The vendor's root is for people to compare.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::ceremony::words;
use crate::pki::{Certificate, PublicKey};

/// What an attestation shows, for the transcript; an error says why it is not about `key`.
pub fn attestation(file: &[u8], key: &PublicKey) -> Result<String, String> {
    let certificates = Certificate::all_from_pem(file)
        .ok()
        .filter(|all| !all.is_empty())
        .or_else(|| Certificate::from_der(file).ok().map(|one| vec![one]));
    match certificates.as_deref() {
        Some([first, above @ ..]) if first.public_key() == key => chain(first, above),
        Some([first, ..]) => Err(format!(
            "its first certificate is for the key {}, and the new key is {}",
            short(first.public_key()),
            short(key)
        )),
        _ if mentions(file, key) => Ok(
            "the file holds the key's public half; its format and signature are the vendor's to \
                verify"
                .to_owned(),
        ),
        _ => Err(format!("the public half of the new key {} is not in it", short(key))),
    }
}

fn chain(first: &Certificate, above: &[Certificate]) -> Result<String, String> {
    let mut below = first;
    for (index, next) in above.iter().enumerate() {
        below.verify_signature(next.public_key()).map_err(|e| {
            format!("its certificate {} is not signed by the next one: {e}", index + 1)
        })?;
        below = next;
    }
    let root = hex::encode(below.fingerprint());
    Ok(match above.len() {
        0 => format!(
            "a certificate of the vendor, SHA-256 {root}, with none above it, names the key"
        ),
        count => format!(
            "a certificate of the vendor names the key; {count} above it verify, the last has the \
             SHA-256 {root}"
        ),
    })
}

/// Whether the public half stands in the file, as bytes, in hexadecimal or in base64.
fn mentions(file: &[u8], key: &PublicKey) -> bool {
    let mut forms = vec![key.spki().to_vec(), key.key_bits()];
    if let Some(rsa) = key.rsa() {
        forms.push(rsa.n().to_vec());
    }
    let text: Vec<u8> = file.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let lower = text.to_ascii_lowercase();
    let holds = |all: &[u8], part: &[u8]| all.windows(part.len()).any(|window| window == part);
    forms.iter().any(|form| {
        holds(file, form)
            || holds(&lower, hex::encode(form).as_bytes())
            || holds(&text, BASE64.encode(form).as_bytes())
    })
}

fn short(key: &PublicKey) -> String {
    words::words(&key.fingerprint()[..4])
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::{PKey, Private};
    use openssl::x509::{X509, X509NameBuilder};

    use super::*;

    fn new_key() -> PKey<Private> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    }

    fn public(key: &PKey<Private>) -> PublicKey {
        PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap()
    }

    fn certificate(key: &PKey<Private>, issuer: &PKey<Private>) -> Vec<u8> {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "Attestation").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
        builder.sign(issuer, MessageDigest::sha256()).unwrap();
        builder.build().to_pem().unwrap()
    }

    #[test]
    fn certificates_name_the_key_and_are_signed_by_the_next() {
        let (key, device, other) = (new_key(), new_key(), new_key());
        let (own, above) = (certificate(&key, &device), certificate(&device, &device));
        let said = attestation(&[own.clone(), above].concat(), &public(&key)).unwrap();
        assert!(said.contains("1 above it verify"), "{said}");
        assert!(attestation(&own, &public(&key)).unwrap().contains("none above"));
        let wrong = attestation(&own, &public(&other)).unwrap_err();
        assert!(wrong.contains("first certificate is for the key"), "{wrong}");
        let broken = [own, certificate(&other, &other)].concat();
        let unsigned = attestation(&broken, &public(&key)).unwrap_err();
        assert!(unsigned.contains("not signed by the next"), "{unsigned}");
    }

    #[test]
    fn a_format_of_the_vendor_must_hold_the_public_half() {
        let (key, other) = (public(&new_key()), public(&new_key()));
        let point = key.key_bits();
        let forms = [
            [b"vendor\0".as_slice(), &point, b"\0"].concat(),
            format!("<key>{}</key>", hex::encode_upper(&point)).into_bytes(),
            format!("<key>\n{}\n</key>", BASE64.encode(key.spki())).into_bytes(),
        ];
        for form in forms {
            assert!(attestation(&form, &key).is_ok());
            assert!(attestation(&form, &other).unwrap_err().contains("not in it"));
        }
        assert!(attestation(b"", &key).is_err());
    }
}
