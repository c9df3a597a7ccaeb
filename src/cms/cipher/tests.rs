use proptest::prelude::*;

use super::super::testing::openssl_in;
use super::*;

#[test]
fn openssl_reads_and_writes_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for (cipher, name) in
        Cipher::ALL.into_iter().zip(["des", "des-ede3", "aes-128", "aes-192", "aes-256"])
    {
        for len in [0, 1, 7, 8, 15, 16, 17, 1000] {
            let plaintext: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let key = Secret::new((1..=cipher.key_len() as u8).collect());
            let iv = vec![0x42; cipher.block_len()];
            let ours = cipher.encrypt(&key, &iv, &plaintext).unwrap();
            std::fs::write(dir.path().join("plain"), &plaintext).unwrap();
            let enc = format!(
                "enc -e -{name}-cbc -K {} -iv {} -in plain -provider legacy -provider default",
                hex::encode(key.expose()),
                hex::encode(&iv)
            );
            assert_eq!(openssl_in(dir.path(), &enc), ours, "{cipher} {len}");
            let back = cipher.decrypt(&key, &iv, &ours).unwrap();
            let (good, pad) = padding(&back, cipher.block_len());
            assert!(bool::from(good));
            assert_eq!(back[..back.len() - usize::from(pad)], plaintext);
        }
    }
}

#[test]
fn oids_and_lengths() {
    for cipher in Cipher::ALL {
        assert_eq!(Cipher::from_oid(cipher.oid()), Some(cipher));
        let iv = vec![0; cipher.block_len()];
        for wrong in [0, cipher.key_len() - 1, cipher.key_len() + 1] {
            assert!(cipher.encrypt(&Secret::new(vec![1; wrong]), &iv, b"x").is_err());
        }
        let key = Secret::new(vec![1; cipher.key_len()]);
        assert!(cipher.encrypt(&key, &iv[1..], b"x").is_err());
    }
    assert_eq!(Cipher::from_oid(ObjectIdentifier::new_unwrap("1.2.840.113549.3.2")), None);
}

/// The same as `padding`, in the plainest words.
fn plain_padding(plaintext: &[u8], block_len: usize) -> Option<u8> {
    let pad = *plaintext.last()?;
    let fits = (1..=block_len).contains(&usize::from(pad)) && plaintext.len() >= block_len;
    let tail = &plaintext[plaintext.len().checked_sub(usize::from(pad))?..];
    (fits && tail.iter().all(|b| *b == pad)).then_some(pad)
}

proptest! {
    #[test]
    fn padding_is_what_rfc_5652_says(
        mut plaintext in proptest::collection::vec(any::<u8>(), 0..40),
        pad in 0u8..20,
        broken in proptest::option::of(0usize..20),
        block_len in prop_oneof![Just(8usize), Just(16)],
    ) {
        plaintext.extend(vec![pad; usize::from(pad)]);
        if let Some(at) = broken.and_then(|b| plaintext.len().checked_sub(b + 1)) {
            plaintext[at] ^= 1;
        }
        let (good, found) = padding(&plaintext, block_len);
        let expected = plain_padding(&plaintext, block_len);
        prop_assert_eq!(bool::from(good), expected.is_some());
        prop_assert_eq!(found, expected.unwrap_or(0));
    }
}
