//! Digests that people read aloud and compare: the PGP word list and the phrases made from it.

mod list;

/// `bytes` as words of the PGP word list, separated by single spaces.
pub fn words(bytes: &[u8]) -> String {
    let tables: [Vec<&str>; 2] = [list::EVEN, list::ODD].map(|t| t.split(' ').collect());
    let word = |(place, byte): (usize, &u8)| tables[place % 2][usize::from(*byte)];
    bytes.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

/// The bytes that `text` spells in PGP words; upper and lower case and the amount of white space do
/// not matter. The error names the first word that is none, or that stands at the wrong place.
pub fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let tables: [Vec<&str>; 2] = [list::EVEN, list::ODD].map(|t| t.split(' ').collect());
    let find = |table: &[&str], word: &str| table.iter().position(|w| w.eq_ignore_ascii_case(word));
    let value = |(place, word): (usize, &str)| {
        if let Some(value) = find(&tables[place % 2], word) {
            return Ok(value as u8);
        }
        let other = find(&tables[(place + 1) % 2], word).is_some();
        let why = if other { "stands at a wrong place" } else { "is not in the PGP word list" };
        Err(format!("word {} «{}» {why}", place + 1, word.escape_debug()))
    };
    text.split_whitespace().enumerate().map(value).collect()
}

/// What people type to confirm a digest: its first word and its last four.
pub fn phrase(digest: &[u8; 32]) -> String {
    let all = words(digest);
    let all: Vec<&str> = all.split(' ').collect();
    [&all[..1], &all[all.len() - 4..]].concat().join(" ")
}

/// Whether `typed` is the phrase of `digest`; case and white space do not matter.
pub fn is_phrase(typed: &str, digest: &[u8; 32]) -> bool {
    let typed: Vec<String> = typed.split_whitespace().map(str::to_ascii_lowercase).collect();
    let wanted = phrase(digest).to_ascii_lowercase();
    typed.join(" ") == wanted
}

/// A digest in hexadecimal, in groups of eight digits, as scripts and reports print it.
pub fn grouped_hex(digest: &[u8]) -> String {
    let groups: Vec<String> = digest.chunks(4).map(hex::encode).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example() {
        // A PGP fingerprint and its words as Wikipedia and PGPfone's manual print them.
        let fingerprint = hex::decode("e58294f2e9a227486e8b061b31cc528fd7fa3f19").unwrap();
        let spelt = "topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator goldfish Medusa \
                     afflict bravado chatter revolver Dupont midsummer stopwatch whimsical cowbell bottomless";
        assert_eq!(words(&fingerprint), spelt);
        assert_eq!(bytes(&spelt.to_uppercase()), Ok(fingerprint));
    }

    #[test]
    fn the_list_is_the_published_one() {
        let lines = |t: &str| t.split(' ').collect::<Vec<_>>().join("\n");
        let all = format!("{}\n{}", lines(list::EVEN), lines(list::ODD));
        let pinned = "e9b7b0052233a74aa56724ed3f79c272036aed68d8f4c0856e833c8043b9ac62";
        assert_eq!(hex::encode(openssl::sha::sha256(all.as_bytes())), pinned);
    }

    #[test]
    fn every_pair_of_bytes_round_trips() {
        for byte in 0..=255u8 {
            assert_eq!(bytes(&words(&[byte, byte])), Ok(vec![byte, byte]));
        }
    }

    #[test]
    fn swapped_words_are_told() {
        assert!(bytes("adroitness aardvark").unwrap_err().contains("wrong place"));
        assert!(bytes("aardvark hello").unwrap_err().contains("word 2"));
    }

    #[test]
    fn phrases_forgive_case_and_spaces_only() {
        let digest = [7; 32];
        assert!(is_phrase(&format!("  {}  ", phrase(&digest).to_uppercase()), &digest));
        assert!(!is_phrase(&phrase(&[8; 32]), &digest));
        assert!(!is_phrase("", &digest));
    }
}
