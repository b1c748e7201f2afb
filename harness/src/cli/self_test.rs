//! `harness self-test`. (edge)

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::args::SelfTestArgs;
use super::console;
use super::refusal::Refusal;
use super::run::{default_jobs, draw_seed, reexec};
use crate::outcome::Ending;
use crate::self_test::{self, Options};
use crate::suite::{self, Machine, OutDir};

/// Runs the suite against the good and the faulty subjects.
pub(super) fn self_test(args: &SelfTestArgs) -> Result<Ending, Refusal> {
    let names = names(&args.filter)?;
    let machine = Machine::prepare().map_err(|errno| {
        Refusal::new(
            Ending::Unfit,
            format!("can't prepare this process: {errno}"),
        )
    })?;
    let reexec = reexec()?;
    let out = OutDir::open(&args.out)?;
    let options = Options {
        full: args.full,
        names,
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        seed: args.seed.unwrap_or_else(draw_seed),
        reexec: &reexec,
        out: &out,
        stop: &machine.stop(),
    };
    let outcome = self_test::run(&options, |line| console::say(&format!("{line}\n")))
        .map_err(|error| Refusal::new(Ending::SuiteBug, suite::error_chain(&error)))?;
    out.finish();
    console::say(&format!("\n{}", outcome.text));
    Ok(outcome.ending)
}

fn names(texts: &[String]) -> Result<GlobSet, Refusal> {
    let usage = |error: globset::Error| {
        Refusal::new(
            Ending::Usage,
            format!("{error}; --filter takes globs on subjects' names"),
        )
    };
    let mut set = GlobSetBuilder::new();
    for text in texts {
        set.add(Glob::new(text).map_err(usage)?);
    }
    set.build().map_err(usage)
}
