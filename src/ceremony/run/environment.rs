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

/// What is found, or why nothing can be said: that counts as a fault.
type Found = Result<Vec<String>, String>;

/// The names of all checks.
pub(crate) const NAMES: [&str; 6] = [
    "network interfaces that are up",
    "default routes",
    "radios that are not blocked",
    "swap",
    "core dumps",
    "writable removable media",
];

/// Looks at the machine whose `/proc` and `/sys` are under `root`. What cannot be read is a failed check.
pub fn checks(root: &Path) -> Vec<Check> {
    let found = [
        up(root),
        default_routes(root),
        radios(root),
        lines(&root.join("proc/swaps")).map(|l| l.into_iter().skip(1).collect()),
        core_dumps(root),
        writable_media(root),
    ];
    let check = |(name, found): (&'static str, Found)| match found {
        Ok(found) if found.is_empty() => Check { name, good: true, found: "none".into() },
        // Recorded, and no fault: the evidence is carried away on one.
        Ok(found) => Check { name, good: name == NAMES[5], found: found.join(", ") },
        Err(problem) => Check { name, good: false, found: problem },
    };
    NAMES.into_iter().zip(found).map(check).collect()
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |e| format!("{} cannot be read: {e}", path.display())
}

fn lines(path: &Path) -> Found {
    let text = std::fs::read_to_string(path).map_err(unreadable(path))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The lines of a file that a kernel without the feature does not have.
fn lines_if_there(path: &Path) -> Found {
    if path.try_exists().map_err(unreadable(path))? { lines(path) } else { Ok(Vec::new()) }
}

fn children(path: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(path).and_then(|d| {
        d.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<Vec<PathBuf>>>()
    });
    let mut all = entries.map_err(unreadable(path))?;
    all.sort();
    Ok(all)
}

fn core_dumps(root: &Path) -> Found {
    let path = root.join("proc/self/limits");
    let limits = lines(&path)?;
    let line = limits.iter().find(|l| l.starts_with("Max core file size"));
    match line.and_then(|l| l.split_whitespace().nth(4)) {
        Some("0") => Ok(Vec::new()),
        Some(limit) => Ok(vec![format!("up to {limit}")]),
        None => Err(format!("{} says nothing about them", path.display())),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Interfaces with IFF_UP but the loopback.
fn up(root: &Path) -> Found {
    let mut up = Vec::new();
    for path in children(&root.join("sys/class/net"))? {
        let flags = lines(&path.join("flags"))?.concat();
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16)
            .map_err(|e| format!("{}: the flags are no number: {e}", file_name(&path)))?;
        // IFF_UP is 1, IFF_LOOPBACK is 8.
        if flags & 1 != 0 && flags & 8 == 0 {
            up.push(file_name(&path));
        }
    }
    Ok(up)
}

fn default_routes(root: &Path) -> Found {
    let v4 = lines(&root.join("proc/net/route"))?.into_iter().skip(1);
    let v4 = v4.filter(|l| l.split_whitespace().nth(1) == Some("00000000"));
    let v4 = v4.map(|l| format!("IPv4 by {}", l.split_whitespace().next().unwrap_or("?")));
    let zero = "0".repeat(32);
    let v6 = lines_if_there(&root.join("proc/net/ipv6_route"))?.into_iter().filter_map(|l| {
        let parts: Vec<&str> = l.split_whitespace().collect();
        let device = parts.last().copied().unwrap_or("?");
        let is_default = parts.first() == Some(&zero.as_str()) && parts.get(1) == Some(&"00");
        (is_default && device != "lo").then(|| format!("IPv6 by {device}"))
    });
    Ok(v4.chain(v6).collect())
}

fn radios(root: &Path) -> Found {
    // A machine without radios has no such folder; the one above it is always there.
    let class = root.join("sys/class");
    let rfkill = class.join("rfkill");
    let all = if children(&class)?.contains(&rfkill) { children(&rfkill)? } else { Vec::new() };
    let mut open = Vec::new();
    for radio in all {
        let mut blocked = false;
        for file in ["soft", "hard"] {
            blocked |= lines(&radio.join(file))?.first().is_some_and(|l| l.trim() == "1");
        }
        if !blocked {
            let name =
                lines(&radio.join("name")).map_or_else(|_| file_name(&radio), |l| l.concat());
            open.push(name);
        }
    }
    Ok(open)
}

fn writable_media(root: &Path) -> Found {
    let disks = children(&root.join("sys/block"))?;
    let removable = |device: &str| -> Result<bool, String> {
        let device = device.trim_start_matches("/dev/");
        let disk = disks.iter().find(|d| file_name(d) == device || d.join(device).is_dir());
        let Some(disk) = disk else { return Ok(false) };
        Ok(lines(&disk.join("removable"))?.first().is_some_and(|l| l.trim() == "1"))
    };
    let mut found = Vec::new();
    for line in lines(&root.join("proc/mounts"))? {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let [device, place, _, options, ..] = parts.as_slice() else { continue };
        let writable = options.split(',').any(|o| o == "rw");
        if device.starts_with("/dev/") && writable && removable(device)? {
            found.push(format!("{device} on {place}"));
        }
    }
    Ok(found)
}

/// Measures the program and the system.
pub fn tool(root: &Path, executable: &Path) -> ToolRecord {
    let sha256 = std::fs::read(executable).map(|b| hex::encode(openssl::sha::sha256(&b)));
    let release = lines(&root.join("etc/os-release")).unwrap_or_default();
    let system = release
        .iter()
        .find_map(|l| l.strip_prefix("PRETTY_NAME=").map(|n| n.trim_matches('"').to_owned()));
    let kernel = lines(&root.join("proc/sys/kernel/osrelease"));
    ToolRecord {
        version: env!("CARGO_PKG_VERSION").into(),
        sha256: sha256.unwrap_or_else(|e| format!("unreadable: {e}")),
        system: system.unwrap_or_else(|| "unknown".into()),
        kernel: kernel.map_or_else(|problem| problem, |l| l.concat()),
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

    const OFFLINE: [(&str, &str); 8] = [
        ("sys/block/sdb/removable", "1\n"),
        ("sys/block/sdb/sdb1/partition", "1\n"),
        ("proc/mounts", "/dev/sdb1 /media/evidence vfat rw 0 0\n"),
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
        let media = checks(root.path()).into_iter().find(|c| c.name == NAMES[5]).unwrap();
        assert_eq!(media.found, "/dev/sdb1 on /media/evidence");
    }

    #[test]
    fn what_cannot_be_read_is_a_fault() {
        let nothing = tempfile::tempdir().unwrap();
        let names: Vec<_> = bad(nothing.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, NAMES);
        for (path, name) in [
            ("sys/class/net/eth0/flags", NAMES[0]),
            ("proc/net/route", NAMES[1]),
            ("proc/swaps", NAMES[3]),
            ("proc/self/limits", NAMES[4]),
            ("proc/mounts", NAMES[5]),
        ] {
            let root = machine(&OFFLINE);
            std::fs::remove_file(root.path().join(path)).unwrap();
            let found: Vec<_> = bad(root.path()).into_iter().map(|(n, _)| n).collect();
            assert_eq!(found, [name], "{path}");
        }
        let root = machine(&OFFLINE);
        std::fs::create_dir_all(root.path().join("sys/class/rfkill/rfkill0")).unwrap();
        assert_eq!(bad(root.path()).len(), 1, "a radio that says nothing passes for blocked");
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
            if name == NAMES[2] {
                std::fs::write(path.with_file_name("hard"), "0\n").unwrap();
            }
            let found: Vec<_> = bad(root.path()).into_iter().map(|(n, _)| n).collect();
            assert_eq!(found, [name]);
        }
    }
}
