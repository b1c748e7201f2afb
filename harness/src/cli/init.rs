//! `harness init`: the first files of a project that is held to the contract. (edge)

use std::fs::{self, File};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};

use super::args::SubjectArgs;
use super::console;
use super::refusal::Refusal;
use super::run::subject_of;
use crate::config::{CONFIG_FILE, Ci, first_config, first_expected};
use crate::outcome::Ending;
use crate::report;

/// The file of expected failures, as `harness.toml` names it.
const EXPECTED_FILE: &str = "expected.toml";

#[derive(Debug, ClapArgs)]
pub(super) struct InitArgs {
    /// The command that starts the driver, as for `run`. The bundled one if left out.
    #[arg(long, value_name = "TEMPLATE")]
    driver: Option<String>,
    /// The command that starts logmon, as for `run`. The bundled one if left out.
    #[arg(long, value_name = "TEMPLATE")]
    logmon: Option<String>,
    /// The CI system that a file is written for. None if left out.
    #[arg(long, value_enum)]
    ci: Option<CiKind>,
    /// Replaces files that are there.
    #[arg(long)]
    force: bool,
}

/// `--ci`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CiKind {
    /// A workflow.
    Github,
    /// A job to be included.
    Gitlab,
    /// No file.
    None,
}

/// What the files are to say.
#[derive(Debug, PartialEq, Eq)]
struct Wishes {
    driver: Option<String>,
    logmon: Option<String>,
    ci: Option<Ci>,
}

/// Writes the files into the current folder: all of them, or none.
pub(super) fn init(args: &InitArgs) -> Result<Ending, Refusal> {
    let given = Wishes {
        driver: args.driver.clone(),
        logmon: args.logmon.clone(),
        ci: args.ci.and_then(ci),
    };
    let is_asked = io::stdin().is_terminal() && io::stdout().is_terminal();
    if !is_asked {
        require_usable(&given)?;
    }
    // Before any question, so that nobody answers for nothing.
    let always = [CONFIG_FILE, EXPECTED_FILE].map(PathBuf::from);
    refuse_what_is_there(&always, args.force)?;
    let wishes = if is_asked {
        let asks_for_ci = args.ci.is_none();
        asked(given, asks_for_ci, &mut io::stdin().lock(), console::say)?
    } else {
        given
    };
    require_usable(&wishes)?;
    let config = first_config(wishes.driver.as_deref(), wishes.logmon.as_deref());
    let mut files = vec![
        (PathBuf::from(CONFIG_FILE), config),
        (PathBuf::from(EXPECTED_FILE), first_expected().to_owned()),
    ];
    if let Some(ci) = wishes.ci {
        files.push((PathBuf::from(ci.path()), ci.text().to_owned()));
    }
    let paths: Vec<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
    refuse_what_is_there(&paths, args.force)?;
    write_all(&files, args.force)?;
    for path in &paths {
        console::say(&format!("wrote {}\n", path.display()));
    }
    console::say(&next_steps(&wishes));
    Ok(Ending::Conformant)
}

fn ci(kind: CiKind) -> Option<Ci> {
    match kind {
        CiKind::Github => Some(Ci::Github),
        CiKind::Gitlab => Some(Ci::Gitlab),
        CiKind::None => None,
    }
}

/// Refuses templates that a run would refuse, and a job for CI that would be green on the bundled pair.
fn require_usable(wishes: &Wishes) -> Result<(), Refusal> {
    if wishes.ci.is_some() && wishes.driver.is_none() && wishes.logmon.is_none() {
        return Err(Refusal::new(
            Ending::Usage,
            "a job for CI needs a subject of its own, or it would only ever test the bundled pair; give \
             --driver or --logmon",
        ));
    }
    let subject = SubjectArgs {
        driver: wishes.driver.clone(),
        logmon: wishes.logmon.clone(),
        ..SubjectArgs::default()
    };
    subject_of(&subject)?;
    Ok(())
}

fn refuse_what_is_there(paths: &[PathBuf], force: bool) -> Result<(), Refusal> {
    let there = paths.iter().find(|path| path.symlink_metadata().is_ok());
    match there {
        Some(path) if !force => Err(Refusal::new(
            Ending::BadConfiguration,
            format!(
                "{} is there already, and nothing was written; move it, or replace it with --force",
                path.display()
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Makes the folders first, and takes new files back if a later one can't be written.
fn write_all(files: &[(PathBuf, String)], force: bool) -> Result<(), Refusal> {
    let refused = |path: &Path, error: &io::Error| {
        let rest = if force { "" } else { "; nothing was written" };
        let text = format!("can't write {}: {error}{rest}", path.display());
        Refusal::new(Ending::BadConfiguration, text)
    };
    for (path, _) in files {
        let folder = path.parent().filter(|one| !one.as_os_str().is_empty());
        let made = folder.map_or(Ok(()), fs::create_dir_all);
        made.map_err(|error| refused(path, &error))?;
    }
    let mut new: Vec<&Path> = Vec::new();
    for (path, text) in files {
        if path.symlink_metadata().is_err() {
            new.push(path);
        }
        if let Err(error) = write(path, text, force) {
            new.iter().for_each(|path| drop(fs::remove_file(path)));
            return Err(refused(path, &error));
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    let mut options = File::options();
    if force {
        options.write(true).create(true).truncate(true);
    } else {
        options.write(true).create_new(true);
    }
    options.open(path)?.write_all(text.as_bytes())
}

/// Asks for what was not given. An empty answer, or none, leaves it so.
fn asked(
    given: Wishes,
    asks_for_ci: bool,
    answers: &mut impl BufRead,
    mut say: impl FnMut(&str),
) -> Result<Wishes, Refusal> {
    let mut ask = |question: &str| -> Result<Option<String>, Refusal> {
        say(question);
        let mut answer = String::new();
        let read = answers.read_line(&mut answer);
        read.map_err(|error| {
            Refusal::new(Ending::Usage, format!("can't read an answer: {error}"))
        })?;
        let answer = answer.trim();
        Ok((!answer.is_empty()).then(|| answer.to_owned()))
    };
    let driver = match given.driver {
        Some(driver) => Some(driver),
        None => ask(
            "How is your driver started, with {task}, {stdout} and {stderr}?\n\
                     (Enter: the bundled one) ",
        )?,
    };
    let logmon = match given.logmon {
        Some(logmon) => Some(logmon),
        None => ask("How is your logmon started? (Enter: the bundled one) ")?,
    };
    let mut ci_wished = given.ci;
    if asks_for_ci {
        ci_wished = loop {
            match ask("For which CI: github, gitlab or none? (Enter: none) ")?.as_deref() {
                Some("github") => break Some(Ci::Github),
                Some("gitlab") => break Some(Ci::Gitlab),
                Some("none") | None => break None,
                Some(_) => {}
            }
        };
    }
    Ok(Wishes {
        driver,
        logmon,
        ci: ci_wished,
    })
}

/// The commands come first, each on a line that can be copied.
fn next_steps(wishes: &Wishes) -> String {
    const COMMANDS: &str = "
Next:
  harness run --filter data/smoke    one case: is the subject reached?
  harness run                        all of them
  harness list --why-skipped         what does not apply, and why
";
    let Some(ci) = wishes.ci else {
        return COMMANDS.to_owned();
    };
    let include = match ci {
        Ci::Github => "",
        Ci::Gitlab => "; then name it in .gitlab-ci.yml under `include: local:`",
    };
    let text = format!(
        "{}: fill in how your driver is built and how `harness` gets onto PATH{include}",
        ci.path()
    );
    format!("{COMMANDS}{}", report::wrapped(&text, "  ", 80))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(driver: Option<&str>, logmon: Option<&str>, ci: Option<Ci>) -> Wishes {
        Wishes {
            driver: driver.map(str::to_owned),
            logmon: logmon.map(str::to_owned),
            ci,
        }
    }

    /// What the answers make of it, and how many questions were asked.
    fn answered(given: Wishes, asks_for_ci: bool, answers: &str) -> (Wishes, usize) {
        let mut questions = 0;
        let asked = asked(given, asks_for_ci, &mut answers.as_bytes(), |_| {
            questions += 1
        });
        (asked.unwrap(), questions)
    }

    #[test]
    fn only_what_was_not_given_is_asked_for() {
        let (all, questions) = answered(wishes(None, None, None), true, "d {task}\n\ngitlab\n");
        assert_eq!(all, wishes(Some("d {task}"), None, Some(Ci::Gitlab)));
        assert_eq!(questions, 3);
        let given = || wishes(Some("d {task}"), Some("m"), Some(Ci::Github));
        assert_eq!(answered(given(), false, ""), (given(), 0));
    }

    #[test]
    fn an_answer_that_is_none_of_the_three_is_asked_for_again_and_an_end_is_none() {
        let (all, questions) =
            answered(wishes(Some("d"), Some("m"), None), true, "jenkins\nnone\n");
        assert_eq!((all.ci, questions), (None, 2));
        let (all, _) = answered(wishes(None, None, None), true, "");
        assert_eq!(all, wishes(None, None, None));
    }
}
