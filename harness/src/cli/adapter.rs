//! `harness adapter check`. (edge)

use super::args::AdapterCommand;
use super::console;
use super::refusal::Refusal;
use super::run::reexec;
use crate::adapter;
use crate::outcome::Ending;
use crate::suite::{self, Subject};

/// Talks to an adapter alone.
pub(super) fn adapter(command: &AdapterCommand) -> Result<Ending, Refusal> {
    let AdapterCommand::Check { driver_stdio } = command;
    let words = Subject::stdio_words(driver_stdio, &reexec()?)?;
    // Not known before: an adapter that says yes to everything can't be written for it.
    let random = format!("{:08x}", rand::random::<u32>());
    let checked = adapter::check(&words, &random, &mut console::say);
    let checked = checked.map_err(|error| {
        let ending = match error {
            adapter::CheckError::Adapter(_) => Ending::BadSubject,
            adapter::CheckError::Folder { .. } => Ending::Unfit,
        };
        Refusal::new(ending, suite::error_chain(&error))
    })?;
    let looked_at = checked.looked_at;
    if checked.wrong == 0 && checked.is_complete {
        console::say(&format!(
            "{looked_at} looked at, all as the protocol wants\n"
        ));
        Ok(Ending::Conformant)
    } else {
        console::say(&format!("{looked_at} looked at, {} wrong\n", checked.wrong));
        Ok(Ending::BadSubject)
    }
}
