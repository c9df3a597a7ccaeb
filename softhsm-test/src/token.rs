//! Disposable SoftHSM tokens, each in a folder of its own with a configuration of its own.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chancery::cli::secrets;
use chancery::hsm::{Hsm, HsmOptions, Profile, TokenSelector, init_token, softhsm_conf};
use chancery::secret::Secret;
use openssl::rand::rand_bytes;

use crate::error::{Context, Result, fail};

/// The variable by which SoftHSM is told where its configuration is.
pub const CONF_VARIABLE: &str = "SOFTHSM2_CONF";

/// The label of the tokens that are made here.
pub const LABEL: &str = "softhsm-test";

/// A SoftHSM token in a folder: `softhsm2.conf`, `tokens/`, `pin` and `so-pin`.
#[derive(Clone, Debug)]
pub struct Token {
    folder: PathBuf,
}

impl Token {
    /// The token in `folder`, made by [`Token::create`] before.
    pub fn at(folder: &Path) -> Result<Self> {
        let token = Self { folder: std::path::absolute(folder)? };
        match token.conf().is_file() {
            true => Ok(token),
            false => fail(format!(
                "{} holds no token; make one with: softhsm-test new --dir {}",
                folder.display(),
                folder.display()
            )),
        }
    }

    /// Writes the configuration and the PIN files of a new token into `folder`, which must not have
    /// one yet. [`Token::initialise`] then makes the token itself.
    pub fn create(folder: &Path) -> Result<Self> {
        let token = Self { folder: std::path::absolute(folder)? };
        if token.conf().exists() {
            return fail(format!("{} has a token already", folder.display()));
        }
        let mut private = fs::DirBuilder::new();
        private.recursive(true).mode(0o700);
        let tokens = token.folder.join("tokens");
        private.create(&tokens).context(tokens.display())?;
        for name in ["pin", "so-pin"] {
            let mut digits = [0; 8];
            rand_bytes(&mut digits)?;
            let digits = u64::from_be_bytes(digits) % 100_000_000;
            private_file(&token.folder.join(name), &format!("{digits:08}\n"))?;
        }
        private_file(&token.conf(), &softhsm_conf(&tokens))?;
        Ok(token)
    }

    /// Initialises the token with both PINs. [`CONF_VARIABLE`] must name [`Token::conf`] in this
    /// process's environment.
    pub fn initialise(&self) -> Result<()> {
        let secret = |name| secrets::from_file(&self.folder.join(name), name).context("the PIN");
        init_token(&profile()?, None, LABEL, &secret("so-pin")?, &secret("pin")?)
            .context("making the token")
            .map(drop)
    }

    /// Opens the token. [`CONF_VARIABLE`] must name [`Token::conf`] in this process's environment.
    pub fn open(&self) -> Result<Arc<Hsm>> {
        let pin: Secret = secrets::from_file(&self.pin_file(), "PIN").context("the PIN")?;
        let options = HsmOptions {
            profile: profile()?,
            module: None,
            token: TokenSelector::Label(LABEL.into()),
            pin,
            workers: Some(1),
            lab: true,
        };
        Hsm::open(options).context("opening the token")
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// SoftHSM's configuration file.
    pub fn conf(&self) -> PathBuf {
        self.folder.join("softhsm2.conf")
    }

    /// The file with the user's PIN.
    pub fn pin_file(&self) -> PathBuf {
        self.folder.join("pin")
    }

    /// What a PKCS#11 application needs to use the token, as names and values of an environment.
    pub fn environment(&self) -> Result<Vec<(&'static str, String)>> {
        let module = profile()?.module_path(None).context("finding SoftHSM")?;
        let text = |path: &Path| path.display().to_string();
        Ok(vec![
            (CONF_VARIABLE, text(&self.conf())),
            ("PKCS11_MODULE", text(&module)),
            ("PKCS11_TOKEN_LABEL", LABEL.to_owned()),
            ("PKCS11_PIN_FILE", text(&self.pin_file())),
        ])
    }
}

fn profile() -> Result<Profile> {
    Profile::load("softhsm2").context("the profile of SoftHSM")
}

fn private_file(path: &Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.context(path.display())?;
    std::io::Write::write_all(&mut file, text.as_bytes()).context(path.display())
}
