//! Tests with real processes: hosts that start plugins of every kind. The program starts itself as both.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod calling;
#[cfg(feature = "tls")]
mod encrypting;
#[cfg(not(feature = "tls"))]
#[path = "without_tls.rs"]
mod encrypting;
mod ending;
mod launching;
mod playing_host;
mod playing_plugin;
mod reattaching;
mod serving;
mod stage;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("__plugin") => playing_plugin::play(&words[2]),
        Some("__host") => playing_host::play(&words[2]),
        _ => {
            let trials: Vec<Trial> = [
                launching::trials(),
                calling::trials(),
                ending::trials(),
                encrypting::trials(),
                reattaching::trials(),
                serving::trials(),
            ]
            .into_iter()
            .flatten()
            .collect();
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}
