//! Says on which file systems power cuts can be played on this machine; fails where on none.

use std::process::ExitCode;

use powercut_disk::{Kind, missing};

fn main() -> ExitCode {
    let mut possible = false;
    for kind in [Kind::Ext4, Kind::Xfs] {
        match missing(kind) {
            None => {
                possible = true;
                println!("power cuts on {}: possible", kind.name());
            }
            Some(why) => println!("power cuts on {}: NOT POSSIBLE HERE: {why}", kind.name()),
        }
    }
    if possible { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
