//! Edge: `logmon supervise --plugin` as a process: the host of plugins of every kind (contract MON-4, MON-7,
//! MON-9, MON-11, MON-12). The test program starts itself as the plugins that are no good.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that it did not expect"
)]

mod copying;
mod dying;
mod finding;
mod frozen;
mod playing;
mod refusing;
mod restarting;
mod stage;
#[expect(dead_code, reason = "the other faces need more of it")]
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test and its name.
type Named = (&'static str, fn());

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, kind, notes] = &words[..]
        && word == playing::WORD
    {
        return playing::play(kind, notes.into());
    }
    let all = [
        dying::tests(),
        finding::tests(),
        frozen::tests(),
        refusing::tests(),
        restarting::tests(),
    ];
    let trial = |(name, test): Named| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let trials = all.into_iter().flatten().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
