//! Man pages and completions from the declarations of the command line (hidden: packages use them).

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::output;

/// The arguments of `chancery man`.
#[derive(Debug, Args)]
pub struct Man {
    /// The folder, which must exist
    folder: PathBuf,
}

/// The arguments of `chancery completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// The roles that run as services: their pages are in section 8.
const SERVICES: [&str; 2] = ["chancery-signer", "chancery-frontend"];

/// Writes `chancery.1`, `chancery-….1`, `chancery.toml.5`, and the services' pages in section 8.
pub fn man(man: &Man, mut command: clap::Command) -> Result<(), Failure> {
    command.build();
    page(&man.folder, &command, "chancery")?;
    write(&man.folder.join("chancery.toml.5"), configuration_page().as_bytes())
}

/// Prints the completions. Into memory first: the generator panics where it cannot write.
pub fn completions(completions: &Completions, mut command: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut command, "chancery", &mut script);
    output::write(&String::from_utf8_lossy(&script))
}

fn page(folder: &Path, command: &clap::Command, name: &str) -> Result<(), Failure> {
    let mut page = Vec::new();
    let renamed = command.clone().name(name.to_owned());
    let section = if SERVICES.contains(&name) { "8" } else { "1" };
    let manual = clap_mangen::Man::new(renamed).section(section);
    manual.render(&mut page).map_err(|e| failed(folder, &e))?;
    if section == "8" {
        page.extend_from_slice(service(name).as_bytes());
    }
    write(&folder.join(format!("{name}.{section}")), &page)?;
    let hidden = |c: &clap::Command| c.is_hide_set() || c.get_name() == "help";
    for below in command.get_subcommands().filter(|c| !hidden(c)) {
        self::page(folder, below, &format!("{name}-{}", below.get_name()))?;
    }
    Ok(())
}

/// What the page of a service says beside its options.
fn service(name: &str) -> String {
    let statuses =
        Exit::MEANINGS.map(|(exit, meaning)| format!(".TP\n{}\n{meaning}\n", exit.code()));
    format!(
        ".SH SIGNALS\n.TP\nSIGTERM, SIGINT\nFinish what is under way, record it, and end.\n\
         .TP\nSIGHUP\nRead the configuration again. One with errors changes nothing; the log and the unit's status \
         say why. \\fBchancery reload\\fR does the same, waits, and fails with the errors.\n\
         .SH EXIT STATUS\n{}\
         .SH FILES\n.TP\n/etc/chancery/chancery.toml\nThe configuration, see chancery.toml(5).\n\
         .TP\n/var/lib/chancery\nThe state of the signer: ledger, secrets, CRLs.\n\
         .TP\n/run/chancery\nThe sockets.\n\
         .SH LOG\nThe journal: \\fBjournalctl \\-\\-namespace=* \\-u {name} \\-x\\fR. The signer of the packages has the \
         namespace \\fIchancery\\fR, which has no rate limit.\n\
         .SH SEE ALSO\nchancery(1), chancery\\-reload(1), chancery.toml(5), systemctl(1); the unit {name}.service\n",
        statuses.concat()
    )
}

/// `chancery.toml(5)`: every key of the schema.
fn configuration_page() -> String {
    let mut page = String::from(
        ".TH chancery.toml 5\n.SH NAME\nchancery.toml \\- configuration of chancery\n.SH KEYS\n.nf\n",
    );
    for line in crate::config::reference().lines() {
        let escaped = line.replace('\\', "\\e").replace('-', "\\-");
        let key = !escaped.is_empty() && !escaped.starts_with(' ');
        // A line that begins with a dot or quote would be a command of the formatter.
        page.push_str(if key { ".B " } else { "\\&" });
        page.push_str(&escaped);
        page.push('\n');
    }
    page.push_str(".fi\n.SH SEE ALSO\nchancery(1)\n");
    page
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, content).map_err(|e| failed(path, &e))
}

fn failed(path: &Path, e: &std::io::Error) -> Failure {
    let what = format!("{} could not be written", path.display());
    Failure::new(Exit::Failed, what, e, "name a folder that exists and that you may write to")
}
