//! What the machine is like: network, swap, core dumps, mounted media, the program itself.

use std::path::{Path, PathBuf};

use crate::ceremony::transcript::ToolRecord;

/// One check of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub good: bool,
    /// What was found.
    pub found: String,
}

/// Looks at the machine whose `/proc` and `/sys` are under `root`.
pub fn checks(root: &Path) -> Vec<Check> {
    let interfaces = up(root);
    let routes = default_routes(root);
    let radios = radios(root);
    let swap = lines(&root.join("proc/swaps")).into_iter().skip(1).collect::<Vec<_>>();
    let core = lines(&root.join("proc/self/limits"));
    let core = core.into_iter().find(|l| l.starts_with("Max core file size")).unwrap_or_default();
    let no_core = core.split_whitespace().nth(4) == Some("0");
    let media = writable_media(root);
    let check = |name, found: Vec<String>| Check {
        name,
        good: found.is_empty(),
        found: if found.is_empty() { "none".into() } else { found.join(", ") },
    };
    vec![
        check("network interfaces that are up", interfaces),
        check("default routes", routes),
        check("radios that are not blocked", radios),
        check("swap", swap),
        Check {
            name: "core dumps",
            good: no_core,
            found: if no_core { "off".into() } else { "on".into() },
        },
        // Recorded, and no fault: the evidence is carried away on one.
        Check {
            name: "writable removable media",
            good: true,
            found: if media.is_empty() { "none".into() } else { media.join(", ") },
        },
    ]
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn children(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).map(|d| d.flatten().map(|e| e.path()).collect());
    let mut all: Vec<PathBuf> = entries.unwrap_or_default();
    all.sort();
    all
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Interfaces with IFF_UP but the loopback.
fn up(root: &Path) -> Vec<String> {
    let is_up = |path: &PathBuf| {
        let flags = std::fs::read_to_string(path.join("flags")).unwrap_or_default();
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(1);
        // IFF_UP is 1, IFF_LOOPBACK is 8.
        flags & 1 != 0 && flags & 8 == 0
    };
    children(&root.join("sys/class/net")).into_iter().filter(is_up).map(|p| file_name(&p)).collect()
}

fn default_routes(root: &Path) -> Vec<String> {
    let v4 = lines(&root.join("proc/net/route")).into_iter().skip(1);
    let v4 = v4.filter(|l| l.split_whitespace().nth(1) == Some("00000000"));
    let v4 = v4.map(|l| format!("IPv4 by {}", l.split_whitespace().next().unwrap_or("?")));
    let zero = "0".repeat(32);
    let v6 = lines(&root.join("proc/net/ipv6_route")).into_iter().filter_map(|l| {
        let parts: Vec<&str> = l.split_whitespace().collect();
        let device = parts.last().copied().unwrap_or("?");
        let is_default = parts.first() == Some(&zero.as_str()) && parts.get(1) == Some(&"00");
        (is_default && device != "lo").then(|| format!("IPv6 by {device}"))
    });
    v4.chain(v6).collect()
}

fn radios(root: &Path) -> Vec<String> {
    let blocked = |p: &Path| {
        ["soft", "hard"].iter().any(|f| lines(&p.join(f)).first().is_some_and(|l| l.trim() == "1"))
    };
    let all = children(&root.join("sys/class/rfkill")).into_iter();
    all.filter(|p| !blocked(p)).map(|p| lines(&p.join("name")).concat()).collect()
}

fn writable_media(root: &Path) -> Vec<String> {
    let removable = |device: &str| {
        let disk =
            device.trim_start_matches("/dev/").trim_end_matches(|c: char| c.is_ascii_digit());
        let path = root.join("sys/block").join(disk).join("removable");
        lines(&path).first().is_some_and(|l| l.trim() == "1")
    };
    let mounts = lines(&root.join("proc/mounts")).into_iter();
    let found = mounts.filter_map(|l| {
        let parts: Vec<&str> = l.split_whitespace().collect();
        let [device, place, _, options, ..] = parts.as_slice() else { return None };
        let writable = options.split(',').any(|o| o == "rw");
        (device.starts_with("/dev/") && writable && removable(device))
            .then(|| format!("{device} on {place}"))
    });
    found.collect()
}

/// Measures the program and the system.
pub fn tool(root: &Path, executable: &Path) -> ToolRecord {
    let sha256 = std::fs::read(executable).map(|b| hex::encode(openssl::sha::sha256(&b)));
    let system = lines(&root.join("etc/os-release"))
        .into_iter()
        .find_map(|l| l.strip_prefix("PRETTY_NAME=").map(|n| n.trim_matches('"').to_owned()));
    ToolRecord {
        version: env!("CARGO_PKG_VERSION").into(),
        sha256: sha256.unwrap_or_else(|e| format!("unreadable: {e}")),
        system: system.unwrap_or_else(|| "unknown".into()),
        kernel: lines(&root.join("proc/sys/kernel/osrelease")).concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn bad(root: &Path) -> Vec<(&'static str, String)> {
        checks(root).into_iter().filter(|c| !c.good).map(|c| (c.name, c.found)).collect()
    }

    const OFFLINE: [(&str, &str); 5] = [
        ("sys/class/net/lo/flags", "0x9\n"),
        ("sys/class/net/eth0/flags", "0x1002\n"),
        ("proc/net/route", "Iface\tDestination\n"),
        ("proc/swaps", "Filename Type\n"),
        (
            "proc/self/limits",
            "Max core file size        0                    0                    bytes\n",
        ),
    ];

    #[test]
    fn an_offline_machine_is_good() {
        let root = machine(&OFFLINE);
        assert_eq!(bad(root.path()), []);
    }

    #[test]
    fn each_fault_is_found() {
        let faults: [(&str, &str, &str); 5] = [
            ("sys/class/net/wlan0/flags", "0x1003\n", "network interfaces that are up"),
            ("proc/net/route", "Iface\tDestination\neth0\t00000000\t01\n", "default routes"),
            ("sys/class/rfkill/rfkill0/soft", "0\n", "radios that are not blocked"),
            ("proc/swaps", "Filename Type\n/dev/sda2 partition\n", "swap"),
            (
                "proc/self/limits",
                "Max core file size        unlimited            unlimited            bytes\n",
                "core dumps",
            ),
        ];
        for (path, text, name) in faults {
            let root = machine(&OFFLINE);
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            let found: Vec<_> = bad(root.path()).into_iter().map(|(n, _)| n).collect();
            assert_eq!(found, [name]);
        }
    }
}
