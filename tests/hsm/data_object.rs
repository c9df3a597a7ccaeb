//! Data objects of a token: replaced, found by their label alone, and no public ones.

use std::process::Command;

use crate::support::{LABEL, PIN, alone, opened, profile};

#[test]
fn a_value_takes_the_place_of_the_one_before() {
    alone("data_object::a_value_takes_the_place_of_the_one_before", |dir| {
        let hsm = opened();
        let read = |label| hsm.data_objects(label).unwrap();
        assert_eq!(read("head"), Vec::<Vec<u8>>::new());
        for value in [&b"one"[..], b"two", &[7; 4000]] {
            hsm.replace_data_object("head", value).unwrap();
            assert_eq!(read("head"), [value.to_vec()]);
        }
        hsm.replace_data_object("other", b"else").unwrap();
        assert_eq!(read("head"), [vec![7; 4000]]);

        // What anybody could make without the PIN does not count.
        let file = dir.join("value");
        std::fs::write(&file, "forged").unwrap();
        let mut tool = Command::new("pkcs11-tool");
        tool.arg("--module").arg(profile().module_path(None).unwrap());
        tool.args(["--token-label", LABEL]);
        tool.args(["--login", "--pin", PIN, "--type", "data", "--label", "head"]);
        let output = tool.arg("--write-object").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(read("head"), [vec![7; 4000]]);
    });
}
