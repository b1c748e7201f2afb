//! The command lines of what works on a bundle, as types. (core)

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::args::{Colour, SubjectArgs};

#[derive(Debug, ClapArgs)]
pub(super) struct ShowArgs {
    /// The folder of a played case, as the line `Look` of a failure names it.
    pub(super) bundle: PathBuf,
    /// As what.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Short for --format html.
    #[arg(long, conflicts_with = "format")]
    pub(super) html: bool,
    /// Where to. Text and perfetto go to standard output if left out, html to timeline.html in the
    /// bundle.
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Colours on standard output. NO_COLOR is honoured.
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    pub(super) color: Colour,
}

#[derive(Debug, ClapArgs)]
pub(super) struct RecheckArgs {
    /// The folders of played cases.
    #[arg(value_name = "BUNDLE", required = true)]
    pub(super) bundles: Vec<PathBuf>,
    /// Colours on standard output. NO_COLOR is honoured.
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    pub(super) color: Colour,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ReproArgs {
    /// The folder of a played case, or a case's id. A folder brings everything with it: the scenario, the
    /// subject, what it declares, the seed and the number of the attempt.
    #[arg(value_name = "BUNDLE|CASE")]
    pub(super) target: String,
    /// With a case's id: a file instead of flags, which win over it. Else harness.toml in this folder, if
    /// it is there; /dev/null for none.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) subject: SubjectArgs,
    /// With a case's id: the cases of this file, or of the *.toml in this folder, instead of the
    /// shipped ones.
    #[arg(long, value_name = "FILE")]
    pub(super) scenario: Vec<PathBuf>,
    /// With a case's id: seed of everything random. Drawn, and shown, if left out.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Plays it this many times; one failure is a failure.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) times: u32,
    /// Writes the system calls of driver and logmon to strace.* in the case's folder. Needs strace, and
    /// makes both slow.
    #[arg(long)]
    pub(super) strace: bool,
    /// Stops when the plan comes to this point, tells what is running and where everything is, and waits
    /// for Enter, the end of standard input, SIGINT or SIGTERM; then it cleans up and ends with 7. The
    /// number of a step stops before it. A name, such as pipe-full, KILL or disk-full, stops behind the
    /// first step that is called so; `end` where the plan ends. A wrong one lists all.
    #[arg(long, value_name = "WHAT", conflicts_with = "times")]
    pub(super) stop_at: Option<String>,
    /// Where the case's folder goes. What an earlier run left there is removed.
    #[arg(long, value_name = "DIR", default_value = "out-repro")]
    pub(super) out: PathBuf,
    /// Colours on standard output. NO_COLOR is honoured.
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    pub(super) color: Colour,
}

/// `--format` of `show`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The verdict and the whole timeline, for a terminal.
    Text,
    /// One page with a picture, which needs no network.
    Html,
    /// Trace events in JSON, for ui.perfetto.dev or chrome://tracing.
    Perfetto,
}
