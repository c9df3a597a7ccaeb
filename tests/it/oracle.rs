//! Every failure to open an envelope looks the same (I7, row 45, threats T14 and T15): the same
//! status, header fields, length and content, whatever was wrong. Times are measured elsewhere.

use openssl::pkey::PKey;
use softhsm_test::client::{Cipher, Delivery, Device, Digest, Draft, Server, Transport};

use crate::common::{BAD_REQUEST, good, shared};

/// A block for raw RSA under the server's key, made from a v1.5 padding of `key`.
fn block(server: &Server, spoil: impl Fn(&mut Vec<u8>), key: &[u8]) -> Vec<u8> {
    let public = PKey::public_key_from_der(&server.encryption().unwrap().spki).unwrap();
    let mut block = vec![0, 2];
    block.resize(public.size() - key.len() - 1, 0xa5);
    block.push(0);
    block.extend(key);
    spoil(&mut block);
    block
}

/// What is seen from outside, without what is fresh in every answer.
fn seen(server: &Server, device: &Device, draft: &Draft) -> (u16, Vec<String>, usize) {
    let sent = draft.build(device).unwrap();
    let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
    let reply = server.read(&answer, &sent, device).unwrap();
    assert_eq!(reply.failure().unwrap(), (BAD_REQUEST, None));
    let names = answer.headers.iter().filter(|(n, _)| n != "date");
    (answer.status, names.map(|(n, v)| format!("{n}: {v}")).collect(), answer.body.len())
}

#[test]
fn row_045_t14_t15_every_failure_to_open_looks_the_same() {
    let instance = shared();
    let server = instance.server().unwrap();
    let key = [7_u8; 16];
    type Spoiler<'a> = (&'static str, Box<dyn Fn(&mut Draft) + 'a>);
    let raw = |spoil: fn(&mut Vec<u8>)| {
        let block = block(&server, spoil, &key);
        move |d: &mut Draft| d.envelope.as_mut().unwrap().raw_block = Some(block.clone())
    };
    let cases: Vec<Spoiler<'_>> = vec![
        ("another content key", Box::new(raw(|_| {}))),
        ("not 00 first", Box::new(raw(|b| b[0] = 1))),
        ("block type 1", Box::new(raw(|b| b[1] = 1))),
        ("a zero in the padding's first eight", Box::new(raw(|b| b[5] = 0))),
        ("no zero at all", Box::new(raw(|b| b.iter_mut().skip(2).for_each(|x| *x |= 1)))),
        (
            "a content key too short",
            Box::new(raw(|b| {
                let end = b.len();
                b[end - 3] = 0;
            })),
        ),
        (
            "a content key too long",
            Box::new(raw(|b| {
                let zero = b.len() - 17;
                b[zero] = 9;
                b[zero - 8] = 0;
            })),
        ),
        (
            "CBC padding of zeros",
            Box::new(|d| {
                let missing = 16 - d.plaintext.len() % 16;
                d.envelope.as_mut().unwrap().padding = Some(vec![0; missing]);
            }),
        ),
        (
            "CBC padding over 16",
            Box::new(|d| {
                let missing = 16 - d.plaintext.len() % 16;
                d.envelope.as_mut().unwrap().padding = Some(vec![17; missing]);
            }),
        ),
        ("not a PKCS#10", Box::new(|d| d.plaintext = b"nothing that anybody reads".to_vec())),
        ("a PKCS#10 cut off", Box::new(|d| d.plaintext.truncate(100))),
        (
            "ciphertext of one block",
            Box::new(|d| {
                d.envelope.as_mut().unwrap().ciphertext = Some(vec![3; 16]);
            }),
        ),
        (
            "OAEP that is none",
            Box::new(|d| {
                let envelope = d.envelope.as_mut().unwrap();
                envelope.transport = Transport::Oaep(Digest::Sha256);
                envelope.encrypted_key = Some(vec![5; 256]);
            }),
        ),
        (
            "a key for another cipher",
            Box::new(|d| {
                let envelope = d.envelope.as_mut().unwrap();
                envelope.cipher = Cipher::Aes256;
                envelope.raw_block = Some(block(&server, |_| {}, &key));
            }),
        ),
    ];
    let mut first = None;
    for (what, spoil) in cases {
        let (device, mut draft) = good(&instance, &server, "oracle");
        spoil(&mut draft);
        // The signer's key has its own size in every reply; the same name and serial number here.
        let found = seen(&server, &device, &draft);
        let expected = first.get_or_insert_with(|| found.clone());
        assert_eq!(&found, expected, "{what} looks different");
    }
}
