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

/// Writes `chancery.1`, `chancery-….1` and `chancery.toml.5`.
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
    clap_mangen::Man::new(renamed).render(&mut page).map_err(|e| failed(folder, &e))?;
    write(&folder.join(format!("{name}.1")), &page)?;
    let hidden = |c: &clap::Command| c.is_hide_set() || c.get_name() == "help";
    for below in command.get_subcommands().filter(|c| !hidden(c)) {
        self::page(folder, below, &format!("{name}-{}", below.get_name()))?;
    }
    Ok(())
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
