//! What an instance issued: the certificates in its ledger, its CAs' certificates and CRLs.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Instance;
use crate::error::{Context, Result};

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Leaves it all in a new folder of `folder`. The ledger's certificates are there only if the signer
/// still runs.
pub(super) fn keep(instance: &Instance, folder: &Path) -> Result<()> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = folder.join(format!("{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).context(folder.display())?;
    for place in ["certificates", "state/crl", "state/next-ca"] {
        copy(&instance.folder().join(place), &folder)?;
    }
    if instance.has_started("serve") || instance.has_started("signer") {
        let output = instance.command(&["cert", "export", "--format", "pem"])?;
        // A signer that a test stopped or broke has nothing to say.
        if output.status.success() {
            fs::write(folder.join("issued.pem"), output.stdout)?;
        }
    }
    Ok(())
}

/// The certificates and CRLs of a folder, if it is there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let wanted = path.extension().is_some_and(|e| e == "pem" || e == "crl");
        if let (true, Some(name)) = (wanted, path.file_name()) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
