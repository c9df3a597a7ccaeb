//! Writes the seeds of every fuzz target: recorded messages of real clients, and messages that the project's
//! own encoders and its test client build, one folder a target below `$SEEDS`. It is built like a target, because
//! instrumented code links with libFuzzer alone; run it with `-runs=0`.
#![no_main]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chancery::ceremony::transcript::{Fact, Mode, Outcome, ToolRecord, Writer};
use chancery::clock::{SystemClock, Timestamp};
use chancery::cms::{self, EnvelopedData, PasswordKey, Receiver};
use chancery::ledger::{
    Authorizer, BackupFile, Bytes, Draft, Entry, Event, Evidence, Fingerprint, Manifest,
    Reservation, SealedRequest, Sequence, Tile, checkpoint::Checkpoint, merkle,
};
use chancery::pki::crl::{CrlContent, PreparedCrl, RevocationReason, RevokedCertificate};
use chancery::pki::{Certificate, Digest, SerialNumber, SignatureAlgorithm, parse_name};
use chancery::random::SystemRandom;
use chancery::secret::Secret;
use chancery::wire::frame::{self, Kind};
use chancery::wire::hello::{Hello, Verdict};
use chancery::wire::{Refusal, admin, frontend};
use openssl::base64::encode_block;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::sign::Signer;
use serde::Serialize;
use softhsm_test::client::certificate::extension;
use softhsm_test::client::{
    Cipher, Csr, Envelope, Identifier, Key, Message, Parts, Recipient, SelfSigned, Transport, der,
    keys, message,
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The folder of the seeds.
struct Corpus(PathBuf);

impl Corpus {
    fn add(&self, target: &str, name: &str, bytes: &[u8]) -> Result {
        let folder = self.0.join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), bytes)?)
    }

    fn text(&self, target: &str, name: &str, text: &str) -> Result {
        self.add(target, name, text.as_bytes())
    }
}

libfuzzer_sys::fuzz_target!(
    init: {
        if let Err(e) = write() {
            eprintln!("the seeds cannot be written: {e}");
            std::process::exit(1);
        }
    },
    |_data: &[u8]| {}
);

fn write() -> Result {
    let folder = std::env::var_os("SEEDS").ok_or("name the folder for the seeds in SEEDS")?;
    let corpus = Corpus(PathBuf::from(folder));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    recorded(&corpus, &root)?;
    messages(&corpus)?;
    passwords(&corpus)?;
    certificates(&corpus)?;
    ledger(&corpus)?;
    wire(&corpus)?;
    ceremony(&corpus, &root)?;
    files(&corpus, &root)?;
    let config = include_str!("../seeds/chancery.toml");
    corpus.text("config", "laboratory", config)
}

fn recorded(corpus: &Corpus, root: &Path) -> Result {
    for entry in fs::read_dir(root.join("tests/vectors/scep"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("vector");
        let bytes = fs::read(&path)?;
        match path.extension().and_then(|e| e.to_str()) {
            Some("der") => {
                for target in ["ber", "signed_data", "scep_request", "get_transport"] {
                    corpus.add(target, name, &bytes)?;
                }
            }
            Some("get") => corpus.add("get_transport", name, &bytes)?,
            Some("pem") => corpus.add("certificate", name, &bytes)?,
            _ => {}
        }
    }
    Ok(())
}

/// Requests of every type and shape, and what is inside them.
fn messages(corpus: &Corpus) -> Result {
    let (rsa, ec) = (keys::fresh_rsa(2048)?, keys::fresh_ec(Nid::X9_62_PRIME256V1)?);
    let certificate = Parts::from_der(&SelfSigned::default().build(&rsa)?)?;
    let csr = |key: &Key| Csr::new("device.example").challenge("secret").build(key);
    let names = Csr::new("device.example").dns_names(&["a.example", "b.example"]);
    let odd = Csr::new("Gerät").challenge_bmp("wörd").microsoft_attributes();
    let (plain, names, odd) = (csr(&rsa)?, names.build(&rsa)?, odd.build(&ec)?);
    for (name, der) in [("rsa", &plain), ("names", &names), ("odd", &odd), ("ec", &csr(&ec)?)] {
        corpus.add("csr", name, der)?;
        corpus.add("ber", name, der)?;
    }
    let serial = message::issuer_and_serial(&certificate.issuer, &certificate.serial);
    let poll = message::issuer_and_subject(&certificate.issuer, &certificate.issuer);
    corpus.add("scep_content", "serial", &serial)?;
    corpus.add("scep_content", "subject", &poll)?;
    corpus.text("scep_content", "type", "19")?;

    let identifier = Identifier::KeyIdentifier;
    let by_key = vec![Recipient { certificate: certificate.clone(), identifier }];
    let envelopes = [
        Envelope::to(&certificate),
        Envelope { ber: true, cipher: Cipher::Aes256, ..Envelope::to(&certificate) },
        Envelope {
            recipients: by_key,
            transport: Transport::Oaep(softhsm_test::client::Digest::Sha256),
            ..Envelope::to(&certificate)
        },
        Envelope { cipher: Cipher::DesEde3, bare_algorithms: true, ..Envelope::to(&certificate) },
    ];
    for (number, envelope) in envelopes.iter().enumerate() {
        let sealed = envelope.seal(&plain)?;
        corpus.add("enveloped_data", &number.to_string(), &sealed)?;
        for kind in ["17", "19", "20", "21", "22"] {
            let ordinary = Message::new(kind, "transaction", &[7; 16], sealed.clone());
            let signed = Message { ber: number == 1, bare_algorithms: number == 3, ..ordinary };
            let signed = signed.sign(&rsa, &certificate)?;
            for target in ["ber", "signed_data", "scep_request"] {
                corpus.add(target, &format!("{kind}-{number}"), &signed)?;
            }
            corpus.text("get_transport", &format!("{kind}-{number}"), &encode_block(&signed))?;
        }
    }
    Ok(())
}

/// Content keys under a password.
fn passwords(corpus: &Corpus) -> Result {
    for cipher in [cms::Cipher::Aes128Cbc, cms::Cipher::DesEde3Cbc] {
        let key = PasswordKey::derive(&Secret::new(b"word".to_vec()), cipher, &SystemRandom)?;
        let sealed = cms::seal(&[0x30, 0], Receiver::Password(&key), cipher, &SystemRandom)?;
        corpus.add("enveloped_data", &format!("password-{cipher}"), &sealed)?;
        let envelope = EnvelopedData::from_ber(&sealed, &cms::Limits::default())?;
        if let [cms::Recipient::Password(der)] = envelope.recipients() {
            corpus.add("password_recipient", cipher.name(), der)?;
            // Few enough iterations for the fuzzer to go on to the unwrapping: 10000 becomes 16.
            let few = der.windows(4).position(|w| w == [2, 2, 0x27, 0x10]).ok_or("the count")?;
            let mut der = der.clone();
            der[few + 2..few + 4].copy_from_slice(&[0, 16]);
            corpus.add("password_recipient", &format!("{cipher}-few"), &der)?;
        }
    }
    Ok(())
}

/// Certificates of odd shapes, a CRL, general names and names.
fn certificates(corpus: &Corpus) -> Result {
    let key = keys::fresh_rsa(2048)?;
    let shapes = [
        SelfSigned::default(),
        SelfSigned::windows(),
        SelfSigned::sscep(),
        SelfSigned::certmonger(),
    ];
    for (number, shape) in shapes.iter().enumerate() {
        corpus.add("certificate", &number.to_string(), &shape.build(&key)?)?;
    }
    // keyUsage: keyCertSign and cRLSign.
    let usage = extension("2.5.29.15", true, &[3, 2, 1, 6]);
    let ca = SelfSigned { extensions: vec![usage], ..SelfSigned::default() };
    let ca = Certificate::from_der(&ca.build(&key)?)?;
    let time = Timestamp::from_unix_millis(1_800_000_000_000);
    let revoked = [RevokedCertificate {
        serial: SerialNumber::from_content(&[1, 2, 3]),
        revoked: time,
        reason: RevocationReason::KeyCompromise,
        invalid_since: Some(time),
    }];
    let list = PreparedCrl::new(&CrlContent {
        issuer: &ca,
        algorithm: SignatureAlgorithm::RsaPkcs1(Digest::Sha256),
        number: 7,
        this_update: time,
        next_update: time.after(Duration::from_secs(3600)),
        scope: None,
        revoked: &revoked,
    })?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    signer.update(list.tbs())?;
    corpus.add("crl", "one-entry", list.assemble(&signer.sign_to_vec()?)?.der())?;

    let other = der::seq(&[
        &der::oid("1.3.6.1.4.1.311.20.2.3"),
        &der::ctx(0, &der::tlv(0x0c, b"u@example")),
    ]);
    let each = [
        der::tlv(0xa0, &other[2..]),
        der::tlv(0x81, b"u@example"),
        der::tlv(0x82, b"*.example"),
        der::tlv(0xa4, &der::name(&[("2.5.4.3", "x")])),
        der::tlv(0x86, b"https://example/x"),
        der::tlv(0x87, &[192, 0, 2, 1]),
        der::tlv(0x88, &[0x2a, 3, 4]),
    ];
    corpus.add("general_names", "all", &der::tlv(0x30, &each.concat()))?;
    for (number, one) in each.iter().enumerate() {
        corpus.add("general_names", &number.to_string(), &der::tlv(0x30, one))?;
    }
    let text = "CN=device.example,OU=a+OU=b,O=Example\\, Inc.,C=DE";
    corpus.text("names", "text", text)?;
    corpus.add("names", "der", &parse_name(text)?)
}

fn ledger(corpus: &Corpus) -> Result {
    let events = [
        Event::Reservation(Reservation {
            endpoint: "scep".into(),
            transaction: Bytes(b"transaction".to_vec()),
            request: SealedRequest { digest: Fingerprint([1; 32]), sealed: Bytes(vec![2; 40]) },
            serial: Bytes(vec![3; 20]),
            tbs: Bytes(vec![0x30, 0]),
            profile: "device".into(),
            issuer: "issuing".into(),
            evidence: vec![Evidence {
                authorizer: Authorizer::Challenge,
                reference: None,
                detail: Some("x".into()),
            }],
            replaces: Some(4),
        }),
        Event::Certificate(chancery::ledger::Certificate {
            reservation: 1,
            certificate: Bytes(vec![0x30, 0]),
        }),
    ];
    let time = Timestamp::from_unix_millis(1_800_000_000_000);
    for (number, event) in events.into_iter().enumerate() {
        let draft = Draft::of_system("object", event);
        let entry = Entry::new(Sequence(number as u64), time, draft).encode()?;
        corpus.add("ledger_entry", &number.to_string(), &entry)?;
        let head =
            Checkpoint { origin: "fuzz.example".into(), size: 1, root: merkle::leaf_hash(&entry) };
        let note = format!("{}\n— fuzz.example {}\n", head.text(), encode_block(&[0; 68]));
        corpus.text("notes", &format!("note-{number}"), &note)?;
        let proof =
            format!("c2sp.org/tlog-proof@v1\nextra {}\nindex 0\n\n{note}", encode_block(&entry));
        corpus.text("notes", &format!("proof-{number}"), &proof)?;
    }
    corpus.text("notes", "key", include_str!("../seeds/log-key.txt"))?;
    corpus.text("notes", "tile", &Tile::Hashes { level: 1, index: 1_234_067, width: 12 }.path())
}

fn wire(corpus: &Corpus) -> Result {
    let hello = Hello { protocol: 1, verdict: Verdict::Welcome, version: 1, in_flight: 64 };
    corpus.add("wire_frames", "hello", &hello.to_bytes())?;
    let mut frames = frame::encode(7, Kind::Request, b"body");
    frames.extend(frame::encode(7, Kind::Ping, b""));
    corpus.add("wire_frames", "two", &frames)?;
    let put = |which: u8, name: &str, body: Vec<u8>| {
        corpus.add("wire_messages", name, &[vec![which], body].concat())
    };
    let source = "192.0.2.1".parse()?;
    let message =
        frontend::Request::PkiOperation { endpoint: "scep".into(), source, message: vec![0x30, 0] };
    put(0, "operation", encoded(&message)?)?;
    put(0, "describe", encoded(&frontend::Request::Describe)?)?;
    put(1, "reply", encoded(&frontend::Response::CertRep(vec![0x30, 0]))?)?;
    put(1, "busy", encoded(&frontend::Response::Busy { retry_after_seconds: 3 })?)?;
    put(2, "status", encoded(&admin::Request::Status)?)?;
    put(
        2,
        "show",
        encoded(&admin::Request::RequestShow {
            endpoint: Some("scep".into()),
            transaction: "id".into(),
        })?,
    )?;
    put(2, "list", encoded(&admin::Request::LedgerList { from: 0, limit: 9 })?)?;
    put(3, "refused", encoded(&admin::Response::Refused("no".into()))?)?;
    put(4, "refusal", encoded(&Refusal::Overloaded)?)
}

fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    Ok(postcard::to_stdvec(value)?)
}

/// What lies in files: lists of keys, manifests, segments of a journal, HSM profiles.
fn files(corpus: &Corpus, root: &Path) -> Result {
    for entry in fs::read_dir(root.join("pkcs11-profiles"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("profile");
            corpus.add("hsm_profile", name, &fs::read(&path)?)?;
        }
    }
    corpus.text("key_blocklist", "two", "# leaked\n0011223344556677\n\n8899aabbccddeeff\n")?;
    let manifest = Manifest {
        time: Timestamp::from_unix_millis(1_800_000_000_000),
        software: "chancery 0.0.0".into(),
        epoch: 1,
        size: 7,
        root: [7; 32],
        files: vec![BackupFile { path: "ledger/x.journal".into(), length: 9, digest: [9; 32] }],
    };
    corpus.text("backup_manifest", "one", &manifest.text())?;
    corpus.text("backup_manifest", "note", &format!("{}\n— fuzz x\n", manifest.text()))?;
    // Two records of one commit, without the sums that the target makes right.
    let mut segment = b"chancery-ledger\n\0\x01\0\0".to_vec();
    segment.extend([0; 28]);
    for (sequence, flags) in [(0u64, 0u8), (1, 1)] {
        segment.extend([0xca, flags, 0, 5, 0, 0, 0, 0]);
        segment.extend(sequence.to_be_bytes());
        segment.extend([0; 8 + 32]);
        segment.extend(b"entry");
    }
    corpus.add("journal", "two", &segment)?;
    // And one that ends in the middle of its second record.
    segment.truncate(segment.len() - 9);
    corpus.add("journal", "torn", &segment)
}

fn ceremony(corpus: &Corpus, root: &Path) -> Result {
    for entry in fs::read_dir(root.join("examples/ceremonies"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("plan");
        corpus.add("ceremony_plan", name, &fs::read(&path)?)?;
    }
    let path = corpus.0.join("transcript.jsonl");
    let _ = fs::remove_file(&path);
    let mut writer = Writer::create(&path, Arc::new(SystemClock), Arc::new(SystemRandom))?;
    let tool = ToolRecord {
        version: "0".into(),
        sha256: "00".into(),
        system: "x".into(),
        kernel: "y".into(),
    };
    writer.append(Fact::Begin {
        format: 1,
        mode: Mode::Rehearsal,
        title: "T".into(),
        plan_sha256: "aa".into(),
        steps: vec!["a".into()],
        tool,
    })?;
    writer.append(Fact::Person { role: "witness".into(), name: "W. Smith".into() })?;
    writer.append(Fact::End { outcome: Outcome::Done, reason: String::new() })?;
    drop(writer);
    corpus.add("ceremony_transcript", "short", &fs::read(&path)?)?;
    Ok(fs::remove_file(&path)?)
}
