//! `harness completions` and `harness man`. (edge)

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::args::{Args, ShellKind};
use super::console;
use super::refusal::Refusal;
use crate::outcome::Ending;

/// Prints the script for a shell.
pub(super) fn completions(shell: ShellKind) -> Ending {
    let shell = match shell {
        ShellKind::Bash => Shell::Bash,
        ShellKind::Zsh => Shell::Zsh,
        ShellKind::Fish => Shell::Fish,
        ShellKind::Elvish => Shell::Elvish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(&Args::command()), "harness", &mut script);
    console::say(&String::from_utf8_lossy(&script));
    Ending::Conformant
}

/// The command without its hidden parts: completions would offer them.
fn shown(whole: &Command) -> Command {
    let parts = whole.get_subcommands().filter(|one| !one.is_hide_set());
    Command::new("harness")
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().cloned())
        .subcommands(parts.map(Command::clone))
}

/// Prints the page of the whole program, or writes one page for each command into a folder.
pub(super) fn man(out: Option<&Path>) -> Result<Ending, Refusal> {
    let mut command = Args::command();
    command.build();
    let Some(out) = out else {
        console::say(&String::from_utf8_lossy(&page(&command)?));
        return Ok(Ending::Conformant);
    };
    let failed = |path: &Path, error: std::io::Error| {
        Refusal::new(
            Ending::BadConfiguration,
            format!(
                "can't write {}: {error}; give another folder with --out",
                path.display()
            ),
        )
    };
    fs::create_dir_all(out).map_err(|error| failed(out, error))?;
    for (name, command) in pages(&command, "harness".to_owned()) {
        let path = out.join(format!("{name}.1"));
        fs::write(&path, page(&command)?).map_err(|error| failed(&path, error))?;
    }
    Ok(Ending::Conformant)
}

/// A command and all below it that are shown, each with the name of its page.
fn pages(command: &Command, name: String) -> Vec<(String, Command)> {
    let below = command
        .get_subcommands()
        .filter(|one| !one.is_hide_set() && one.get_name() != "help")
        .flat_map(|one| pages(one, format!("{name}-{}", one.get_name())));
    let mut all: Vec<_> = below.collect();
    all.insert(0, (name, command.clone()));
    all
}

fn page(command: &Command) -> Result<Vec<u8>, Refusal> {
    let mut text = Vec::new();
    let man = Man::new(command.clone()).source(concat!("harness ", env!("CARGO_PKG_VERSION")));
    match man.render(&mut text) {
        Ok(()) => Ok(text),
        Err(error) => Err(Refusal::new(Ending::SuiteBug, error.to_string())),
    }
}
