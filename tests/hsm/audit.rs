//! Keys with one wrong attribute each: all are refused, and in a laboratory those that sign and
//! decrypt still are (I3, I4).

use chancery::hsm::{
    AuditedAttribute as A, Deviation, Hsm, HsmError, HsmOptions, KeyProblem, KeyPurpose,
    KeyReference,
};
use chancery::pki::{KeyKind, PublicKey};
use chancery::secret::Secret;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::Session;
use openssl::bn::BigNum;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;

use crate::support::{LABEL, PIN, alone, generate, open, opened, options, profile, token};

/// A session of our own beside those under test.
fn session() -> Session {
    let module = Pkcs11::new(profile().module_path(None).unwrap()).unwrap();
    // Already initialised if the code under test was faster.
    let _ = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slot = module
        .get_slots_with_initialized_token()
        .unwrap()
        .into_iter()
        .find(|slot| module.get_token_info(*slot).unwrap().label() == LABEL)
        .unwrap();
    module.open_rw_session(slot).unwrap()
}

/// What a key's templates say, but for what `change` puts in.
fn make(session: &Session, label: &str, purpose: KeyPurpose, change: &[Attribute]) -> PublicKey {
    let signs = purpose.signs();
    let mut private = vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Sign(signs),
        Attribute::SignRecover(false),
        Attribute::Decrypt(!signs),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ];
    for attribute in change {
        let kind = attribute.attribute_type();
        private.retain(|a| a.attribute_type() != kind);
        private.push(attribute.clone());
    }
    private.extend([Attribute::Label(label.into()), Attribute::Id(label.into())]);
    let public = [
        Attribute::Token(true),
        Attribute::Label(label.into()),
        Attribute::Id(label.into()),
        Attribute::ModulusBits(2048.into()),
        Attribute::PublicExponent(vec![1, 0, 1]),
    ];
    let (public, _) =
        session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).unwrap();
    let wanted = [AttributeType::Modulus, AttributeType::PublicExponent];
    let values = session.get_attributes(public, &wanted).unwrap();
    let [Attribute::Modulus(n), Attribute::PublicExponent(e)] = values.as_slice() else {
        panic!("{values:?}");
    };
    public_key(n, e)
}

fn public_key(n: &[u8], e: &[u8]) -> PublicKey {
    let (n, e) = (BigNum::from_slice(n).unwrap(), BigNum::from_slice(e).unwrap());
    let rsa = Rsa::from_public_components(n, e).unwrap();
    PublicKey::from_openssl(&PKey::from_rsa(rsa).unwrap()).unwrap()
}

fn ask(hsm: &Hsm, label: &str, purpose: KeyPurpose, public_key: PublicKey) -> Result<(), HsmError> {
    let reference =
        KeyReference { label: label.into(), id: None, purpose, public_key, algorithm: None };
    if purpose.signs() {
        hsm.signer(&reference).map(|_| ())
    } else {
        hsm.unwrapper(&reference, Secret::new(vec![1; 32])).map(|_| ())
    }
}

fn deviations(error: HsmError) -> Vec<Deviation> {
    let text = error.to_string();
    let HsmError::Key { problem: KeyProblem::Attributes { deviations }, .. } = error else {
        panic!("{text}");
    };
    for deviation in &deviations {
        assert!(text.contains(&deviation.to_string()), "{text}");
    }
    deviations
}

fn attributes(error: HsmError) -> Vec<A> {
    deviations(error).into_iter().map(|d| d.attribute).collect()
}

#[test]
fn each_bad_attribute_is_refused_by_name() {
    alone("audit::each_bad_attribute_is_refused_by_name", |_| {
        use Attribute as T;
        let hsm = opened();
        let lab = Hsm::open(HsmOptions { lab: true, ..options() }).unwrap();
        let session = session();
        let (ca, ra) = (KeyPurpose::CaSign, KeyPurpose::RaDecrypt);
        // What is made wrong; what is found; whether a laboratory lets it pass.
        let custody: [(KeyPurpose, T, &[A]); 6] = [
            (ca, T::Token(false), &[A::CkaToken]),
            (ca, T::Private(false), &[A::CkaPrivate]),
            (ca, T::Sensitive(false), &[A::CkaSensitive, A::CkaAlwaysSensitive]),
            (ca, T::Extractable(true), &[A::CkaExtractable, A::CkaNeverExtractable]),
            (ra, T::Extractable(true), &[A::CkaExtractable, A::CkaNeverExtractable]),
            (ca, T::Modifiable(true), &[A::CkaModifiable]),
        ];
        let purpose: [(KeyPurpose, T, &[A]); 10] = [
            (ca, T::Decrypt(true), &[A::CkaDecrypt]),
            (ca, T::Unwrap(true), &[A::CkaUnwrap]),
            (ca, T::Derive(true), &[A::CkaDerive]),
            (ca, T::SignRecover(true), &[A::CkaSignRecover]),
            (ca, T::Sign(false), &[A::CkaSign]),
            (ca, T::AlwaysAuthenticate(true), &[A::CkaAlwaysAuthenticate]),
            (ra, T::Sign(true), &[A::CkaSign]),
            (ra, T::Unwrap(true), &[A::CkaUnwrap]),
            (ra, T::SignRecover(true), &[A::CkaSignRecover]),
            (ra, T::Decrypt(false), &[A::CkaDecrypt]),
        ];
        let rows = custody.into_iter().map(|r| (r, true)).chain(purpose.map(|r| (r, false)));
        for (number, ((purpose, change, expected), tolerated)) in rows.enumerate() {
            let label = format!("bad {number}");
            let key = make(&session, &label, purpose, std::slice::from_ref(&change));
            let error = ask(&hsm, &label, purpose, key.clone()).unwrap_err();
            assert_eq!(attributes(error), expected, "{change:?}");
            let in_lab = ask(&lab, &label, purpose, key);
            assert_eq!(in_lab.is_ok(), tolerated, "{change:?}: {in_lab:?}");
            let warned = lab.warnings().iter().any(|w| w.contains(&format!("\"{label}\"")));
            assert_eq!(warned, tolerated, "{change:?}");
        }
        assert!(hsm.warnings().is_empty());
        for purpose in [ca, ra] {
            let label = format!("good {purpose}");
            let key = make(&session, &label, purpose, &[]);
            ask(&hsm, &label, purpose, key).unwrap();
        }
    });
}

#[test]
fn what_a_key_once_was_is_seen() {
    alone("audit::what_a_key_once_was_is_seen", |_| {
        let hsm = opened();
        let session = session();
        let ca = KeyPurpose::CaSign;
        let rows = [
            (Attribute::Extractable(true), Attribute::Extractable(false), A::CkaNeverExtractable),
            (Attribute::Sensitive(false), Attribute::Sensitive(true), A::CkaAlwaysSensitive),
        ];
        for (number, (made, set, expected)) in rows.into_iter().enumerate() {
            let label = format!("once {number}");
            let key = make(&session, &label, ca, &[made, Attribute::Modifiable(true)]);
            let template = [
                Attribute::Class(ObjectClass::PRIVATE_KEY),
                Attribute::Label(label.clone().into()),
            ];
            let handle = session.find_objects(&template).unwrap()[0];
            session.update_attributes(handle, &[set]).unwrap();
            let found = attributes(ask(&hsm, &label, ca, key).unwrap_err());
            assert_eq!(found, [expected, A::CkaModifiable]);
        }
    });
}

#[test]
fn an_imported_key_is_refused() {
    alone("audit::an_imported_key_is_refused", |_| {
        let hsm = opened();
        let session = session();
        let rsa = Rsa::generate(2048).unwrap();
        let bytes = |n: Option<&openssl::bn::BigNumRef>| n.unwrap().to_vec();
        session
            .create_object(&[
                Attribute::Class(ObjectClass::PRIVATE_KEY),
                Attribute::KeyType(cryptoki::object::KeyType::RSA),
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Modifiable(false),
                Attribute::Sign(true),
                Attribute::SignRecover(false),
                Attribute::Decrypt(false),
                Attribute::Unwrap(false),
                Attribute::Derive(false),
                Attribute::Label("imported".into()),
                Attribute::Id("imported".into()),
                Attribute::Modulus(rsa.n().to_vec()),
                Attribute::PublicExponent(rsa.e().to_vec()),
                Attribute::PrivateExponent(rsa.d().to_vec()),
                Attribute::Prime1(bytes(rsa.p())),
                Attribute::Prime2(bytes(rsa.q())),
                Attribute::Exponent1(bytes(rsa.dmp1())),
                Attribute::Exponent2(bytes(rsa.dmq1())),
                Attribute::Coefficient(bytes(rsa.iqmp())),
            ])
            .unwrap();
        let key = public_key(&rsa.n().to_vec(), &rsa.e().to_vec());
        let found = attributes(ask(&hsm, "imported", KeyPurpose::CaSign, key).unwrap_err());
        assert_eq!(found, [A::CkaAlwaysSensitive, A::CkaNeverExtractable, A::CkaLocal]);
    });
}

#[test]
fn what_pkcs11_tool_makes_for_decryption_is_refused() {
    alone("audit::what_pkcs11_tool_makes_for_decryption_is_refused", |dir| {
        token();
        let module = profile().module_path(None).unwrap().display().to_string();
        let run = |args: &[&str]| {
            let output = std::process::Command::new("pkcs11-tool")
                .args(["--module", &module, "--token-label", LABEL, "--login", "--pin", PIN])
                .args(args)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        run(&[
            "--keypairgen",
            "--key-type",
            "rsa:2048",
            "--label",
            "tool",
            "--id",
            "01",
            "--usage-decrypt",
        ]);
        let der = dir.join("public.der");
        let path = der.display().to_string();
        run(&["--read-object", "--type", "pubkey", "--label", "tool", "--output-file", &path]);
        let key = PKey::public_key_from_der(&std::fs::read(der).unwrap()).unwrap();
        let key = PublicKey::from_openssl(&key).unwrap();
        let error = ask(&open().unwrap(), "tool", KeyPurpose::RaDecrypt, key).unwrap_err();
        let found = attributes(error);
        assert!(found.contains(&A::CkaSign), "{found:?}");
    });
}

#[test]
fn our_own_keys_pass_for_every_purpose() {
    alone("audit::our_own_keys_pass_for_every_purpose", |_| {
        let hsm = opened();
        for purpose in [
            KeyPurpose::CaSign,
            KeyPurpose::RaSign,
            KeyPurpose::RaDecrypt,
            KeyPurpose::OcspSign,
            KeyPurpose::LogSign,
        ] {
            let key = generate(&hsm, KeyKind::Rsa(2048), &purpose.to_string(), purpose);
            ask(&hsm, &key.label, purpose, key.public_key).unwrap();
        }
    });
}
