//! A laboratory instance in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use super::binary::chancery;
use super::objects;
use super::port::Port;
use super::process::Service;
use super::template;
use crate::client::http::{self, Request, Url};
use crate::client::{Parts, Server};
use crate::error::{Context, Error, Result, fail};

/// How an instance is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More arguments to `chancery init`.
    pub arguments: Vec<String>,
    /// The folder, instead of a temporary one. It is then left where it is.
    pub folder: Option<PathBuf>,
    /// Never a copy: no other instance has its keys.
    pub own_keys: bool,
}

/// An instance: its folder, and what is needed to reach it.
#[derive(Debug)]
pub struct Instance {
    /// The endpoint's URL.
    pub url: String,
    /// The challenge password of the endpoint.
    pub challenge: String,
    /// The configuration file.
    pub config: PathBuf,
    /// The issuing CA's certificate, a PEM file.
    pub chain: PathBuf,
    /// The root's certificate, a PEM file.
    pub root: PathBuf,
    folder: PathBuf,
    services: Vec<(String, Service)>,
    _port: Port,
    // Last, so that the processes are gone before their folder is.
    _scratch: Option<tempfile::TempDir>,
}

impl Instance {
    /// Makes an instance with `chancery init` and starts `chancery serve`.
    pub fn serve() -> Result<Self> {
        let mut instance = Self::create(&Options::default())?;
        instance.start()?;
        Ok(instance)
    }

    /// Makes an instance with `chancery init` and starts nothing.
    pub fn create(options: &Options) -> Result<Self> {
        let scratch = match &options.folder {
            Some(_) => None,
            // Short, because the path of a Unix socket may have 107 bytes at most.
            None => Some(tempfile::Builder::new().prefix("chancery-").tempdir()?),
        };
        let base = scratch.as_ref().map(|s| s.path().to_path_buf());
        let folder = match (&options.folder, base) {
            (Some(folder), _) => folder.clone(),
            (None, base) => base.unwrap_or_default().join("lab"),
        };
        let port = Port::take()?;
        let listen = format!("127.0.0.1:{}", port.number());
        let said = match options.own_keys || options.folder.is_some() {
            true => template::init(&folder, &listen, &options.arguments)?,
            false => template::laboratory(&folder, &listen, &options.arguments)?,
        };
        let said: serde_json::Value =
            serde_json::from_str(&said).context("the output of chancery init --json")?;
        let field = |name: &str| match said.get(name).and_then(|v| v.as_str()) {
            Some(value) => Ok(value.to_owned()),
            None => fail(format!("chancery init --json gives no {name:?}")),
        };
        Ok(Self {
            url: field("url")?,
            challenge: field("challenge")?,
            config: field("config")?.into(),
            chain: field("chain")?.into(),
            root: field("root")?.into(),
            folder,
            services: Vec::new(),
            _port: port,
            _scratch: scratch,
        })
    }

    /// The instance's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Rewrites the configuration; `edit` gets its text and returns the new one.
    pub fn configure(&self, edit: impl FnOnce(String) -> String) -> Result<()> {
        let old = fs::read_to_string(&self.config)?;
        let new = edit(old.clone());
        if new == old {
            return fail("the edit changed nothing in the configuration");
        }
        Ok(fs::write(&self.config, new)?)
    }

    /// Starts `chancery serve` and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        self.start_role("serve")?;
        self.wait_ready()
    }

    /// Starts `chancery signer` and `chancery frontend` as two processes and waits.
    pub fn start_roles(&mut self) -> Result<()> {
        self.start_role("signer")?;
        self.start_role("frontend")?;
        self.wait_ready()
    }

    /// Starts one role and does not wait. What is left of an earlier start of it is ended.
    pub fn start_role(&mut self, role: &str) -> Result<()> {
        let mut command = Command::new(chancery()?);
        command.args([role, "--config"]).arg(&self.config).current_dir(&self.folder);
        self.services.retain(|(name, _)| name != role);
        let service = Service::start(command, &self.log_file(role))?;
        self.services.push((role.to_owned(), service));
        Ok(())
    }

    /// Waits until the endpoint answers GetCACaps with 200.
    pub fn wait_ready(&mut self) -> Result<()> {
        let url = Url::parse(&self.url)?;
        let caps = Request::get(&format!("{}?operation=GetCACaps", url.path));
        let start = Instant::now();
        loop {
            let answer = http::send(&url, &caps);
            if answer.as_ref().is_ok_and(|a| a.status == 200) {
                return Ok(());
            }
            for (_, service) in &mut self.services {
                if let Some(status) = service.ended()? {
                    return fail(format!("the service ended with {status}:\n{}", service.log()));
                }
            }
            if start.elapsed() > Duration::from_secs(60) {
                return fail(format!("not ready after 60 s: {answer:?}\n{}", self.logs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether a role was started and has not been stopped.
    pub fn has_started(&self, role: &str) -> bool {
        self.services.iter().any(|(name, _)| name == role)
    }

    /// The process of a role that was started.
    pub fn service(&mut self, role: &str) -> Result<&mut Service> {
        let found = self.services.iter_mut().find(|(name, _)| name == role);
        match found {
            Some((_, service)) => Ok(service),
            None => fail(format!("{role} was not started")),
        }
    }

    /// Sends SIGTERM to a role that was started and does not wait.
    pub fn terminate(&self, role: &str) -> Result<()> {
        match self.services.iter().find(|(name, _)| name == role) {
            Some((_, service)) => service.terminate(),
            None => fail(format!("{role} was not started")),
        }
    }

    /// Ends everything with SIGTERM, the last started first; the exit statuses in that order.
    pub fn stop(&mut self) -> Result<Vec<ExitStatus>> {
        self.keep_objects();
        self.services.drain(..).rev().map(|(_, mut service)| service.stop()).collect()
    }

    /// Ends everything with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.services.drain(..).try_for_each(|(_, mut service)| service.kill())
    }

    /// Where `CHANCERY_TEST_OBJECTS` names a folder, what the instance issued is left there for whoever
    /// wants to look at all of it.
    fn keep_objects(&self) {
        let Some(folder) = std::env::var_os("CHANCERY_TEST_OBJECTS") else { return };
        if let Err(e) = objects::keep(self, Path::new(&folder)) {
            eprintln!("what {} issued is not kept: {e}", self.folder.display());
        }
    }

    /// What all roles logged since the instance was made.
    pub fn logs(&self) -> String {
        let read = |role| fs::read(self.log_file(role)).unwrap_or_default();
        ["serve", "signer", "frontend"].map(|role| text(&read(role))).concat()
    }

    fn log_file(&self, role: &str) -> PathBuf {
        self.folder.with_file_name(format!("{}.{role}.log", self.folder_name()))
    }

    fn folder_name(&self) -> String {
        self.folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Runs `chancery ARGUMENTS --config FILE` to its end.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(chancery()?);
        command.args(arguments).arg("--config").arg(&self.config);
        command.output().context(format!("chancery {}", arguments.join(" ")))
    }

    /// The same, and its standard output; a failure is an error.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments)?;
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => fail(format!("chancery {}: {}", arguments.join(" "), text(&output.stderr))),
        }
    }

    /// The endpoint as a client sees it.
    pub fn server(&self) -> Result<Server> {
        Server::discover(&self.url)
    }

    /// Checks that `certificate` chains over the issuing CA to the root, with OpenSSL's strict rules.
    pub fn verify(&self, certificate: &Parts) -> Result<()> {
        use openssl::stack::Stack;
        use openssl::x509::store::X509StoreBuilder;
        use openssl::x509::verify::X509VerifyFlags;
        use openssl::x509::{X509, X509StoreContext};

        let pem = |path: &Path| -> Result<X509> {
            let bytes = fs::read(path).context(path.display())?;
            Ok(X509::from_pem(&bytes)?)
        };
        let leaf = X509::from_der(&certificate.der)?;
        let mut store = X509StoreBuilder::new()?;
        store.add_cert(pem(&self.root)?)?;
        store.set_flags(X509VerifyFlags::X509_STRICT | X509VerifyFlags::CHECK_SS_SIGNATURE)?;
        let mut chain = Stack::new()?;
        chain.push(pem(&self.chain)?)?;
        let mut context = X509StoreContext::new()?;
        let (good, why) = context.init(&store.build(), &leaf, &chain, |c| {
            Ok((c.verify_cert()?, c.error().error_string().to_owned()))
        })?;
        if good { Ok(()) } else { Err(Error::new(format!("the chain does not verify: {why}"))) }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.keep_objects();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
