//! `softhsm-test enrol`: the test client for scripts.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use openssl::x509::X509;
use softhsm_test::client::{Csr, Device, Server, Text, keys};
use softhsm_test::{Context as _, Result};

/// Enrol a device over SCEP and leave its key and certificate in a folder.
///
/// A refusal is printed as the server said it and makes the exit status 1.
#[derive(Debug, clap::Args)]
pub struct Enrol {
    /// The SCEP endpoint; CHANCERY_URL of `softhsm-test run` where it is not given.
    #[arg(long, env = "CHANCERY_URL")]
    url: String,

    /// A file with the challenge password; CHANCERY_CHALLENGE of `softhsm-test run` without it.
    #[arg(long, value_name = "FILE")]
    challenge_file: Option<PathBuf>,

    /// The common name to ask for.
    #[arg(long, value_name = "NAME")]
    cn: String,

    /// A DNS name to ask for; may be given several times.
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,

    /// The transaction ID, whatever it is; that of RFC 8894 section 3.2.1.1 without it.
    #[arg(long, value_name = "TEXT")]
    transaction: Option<String>,

    /// The folder for device.key, device.pem and ca.pem.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Enrol {
    pub fn run(self) -> Result<ExitCode> {
        let challenge = self.challenge()?;
        let server = Server::discover(&self.url)?;
        let device = Device::with_key(keys::fresh_rsa(2048)?, &self.cn)?;
        let mut csr = Csr::new(&self.cn).challenge(&challenge);
        if !self.dns.is_empty() {
            let names: Vec<&str> = self.dns.iter().map(String::as_str).collect();
            csr = csr.dns_names(&names);
        }
        let mut draft = server.draft(&device, "19", csr.build(&device.key)?)?;
        if let Some(transaction) = &self.transaction {
            draft.message.transaction_id = Text::printable(transaction);
        }
        let reply = server.send(&device, &draft)?;
        let certificate = pem(&reply.certificate()?.der)?;
        fs::create_dir_all(&self.out).context(self.out.display())?;
        let mut key = fs::OpenOptions::new();
        key.write(true).create(true).truncate(true).mode(0o600);
        let path = self.out.join("device.key");
        let mut file = key.open(&path).context(path.display())?;
        std::io::Write::write_all(&mut file, &device.key.private_key_to_pem_pkcs8()?)?;
        put(&self.out.join("device.pem"), &certificate)?;
        put(&self.out.join("ca.pem"), &pem(&server.issuing()?.der)?)?;
        println!("{}", self.out.join("device.pem").display());
        Ok(ExitCode::SUCCESS)
    }

    fn challenge(&self) -> Result<String> {
        if let Some(path) = &self.challenge_file {
            let text = fs::read_to_string(path).context(path.display())?;
            return Ok(text.trim_end_matches('\n').to_owned());
        }
        let value = std::env::var_os("CHANCERY_CHALLENGE").unwrap_or_default();
        Ok(value.to_string_lossy().into_owned())
    }
}

fn pem(der: &[u8]) -> Result<Vec<u8>> {
    Ok(X509::from_der(der)?.to_pem()?)
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).context(path.display())
}
