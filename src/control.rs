//! Positive controls: safeguards that a test takes away to see that it notices. Only a build with the
//! feature `controls` can, and in it only the process whose environment says
//! `CHANCERY_CONTROL=NAME`; no release has the feature.

/// A safeguard that can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safeguard {
    /// The journal is on the disk before anybody is answered (I1).
    Fsync,
    /// A reservation is in the ledger before the CA's key signs (I2). Without it the caller is told so, and it is
    /// written a little later.
    Reservation,
    /// The first write or fsync of the journal that fails is the last one (I10). Without it the next commit is
    /// tried as if nothing had been.
    LastFailure,
    /// The ledger's tree is held against every head that is known of it.
    TreeCheck,
    /// A bad ciphertext gives a substitute key (I7). Without it the module takes the padding off, its
    /// error is treated like every other, with a second attempt, and then passed on.
    ImplicitRejection,
}

impl Safeguard {
    /// Whether it is there.
    #[cfg(not(feature = "controls"))]
    pub const fn holds(self) -> bool {
        true
    }

    /// Whether it is there.
    #[cfg(feature = "controls")]
    pub fn holds(self) -> bool {
        static TAKEN: std::sync::OnceLock<Option<std::ffi::OsString>> = std::sync::OnceLock::new();
        let taken = TAKEN.get_or_init(|| std::env::var_os("CHANCERY_CONTROL"));
        taken.as_deref() != Some(std::ffi::OsStr::new(self.name()))
    }

    /// What the environment calls its absence.
    #[cfg(feature = "controls")]
    const fn name(self) -> &'static str {
        match self {
            Self::Fsync => "no-fsync",
            Self::Reservation => "no-reservation",
            Self::LastFailure => "no-last-failure",
            Self::TreeCheck => "no-tree-check",
            Self::ImplicitRejection => "no-implicit-rejection",
        }
    }
}
