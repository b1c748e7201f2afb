//! The command line as types. (core)

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::bundle_args::{RecheckArgs, ReproArgs, ShowArgs};
use super::duration::duration;
use super::init::InitArgs;
use super::nomad::{NomadCommand, PluginArgs};
use super::xfail::XfailCommand;
use crate::capability::{Capability, declared};
use crate::rule::{Level, Profile};
use crate::runner::{LIMITED_WORD, MACHINE_PROBE_WORD};
use crate::suite::{Keep, Shard};

/// A conformance suite for task drivers and logmon.
///
/// Without a command it is `run`: the whole suite on the bundled mock driver and logmon.
#[derive(Debug, Parser)]
#[command(name = "harness", version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

const EXIT_CODES: &str = "\
Exit codes: 0 conformant, 1 failures, 2 expectations out of date, 3 only flaky, 4 nothing ran, 5 the \
suite can't see failures here, 6 the time budget is used up, 7 stopped by --stop-at, 64 wrong command line, 65 wrong scenario, \
configuration or folder, 69 the subject can't be started or is \
dishonest, 70 a bug in the suite, 75 the machine is unfit, 130 interrupted.

Further programs in this one: `harness logmon`, `harness mock-driver`, `harness task` and \
`harness faulty-logmon`.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs the suite.
    Run(Box<RunArgs>),
    /// Lists the cases.
    List(Box<ListArgs>),
    /// Explains a rule (FIFO-10) or a case (mon/kill-full-pipe).
    Explain {
        /// The id of a rule or of a case.
        id: String,
    },
    /// Shows a played case from its folder: what happened, as text, as a page or as a trace.
    Show(ShowArgs),
    /// Judges a played case again, from its folder, with the judge of this program.
    Recheck(RecheckArgs),
    /// Plays one case again as it was played, and says what is different.
    Repro(Box<ReproArgs>),
    /// Says whether this machine is fit, and what will be skipped.
    Doctor {
        /// The folder that runs will write to.
        #[arg(long, value_name = "DIR", default_value = "out")]
        out: PathBuf,
    },
    /// Writes harness.toml, an expected.toml that expects nothing, and a file for a CI system.
    Init(InitArgs),
    /// Checks or renews a file of expected failures.
    Xfail {
        /// What is to be done.
        #[command(subcommand)]
        command: XfailCommand,
    },
    /// Runs the suite against good and faulty subjects: the kill matrix.
    SelfTest(SelfTestArgs),
    /// Works on the reports of earlier runs.
    Report {
        /// What to do with them.
        #[command(subcommand)]
        command: ReportCommand,
    },
    /// Prints a script that completes commands and options in a shell.
    Completions {
        /// The shell.
        shell: ShellKind,
    },
    /// Prints the manual page, or writes one for each command.
    Man {
        /// The folder for the pages. It is made if it is missing.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// About drivers that are told over their stdin what to do.
    Adapter {
        #[command(subcommand)]
        command: AdapterCommand,
    },
    /// Looks at plugins of Nomad.
    Nomad {
        #[command(subcommand)]
        command: NomadCommand,
    },
    /// Tries what this machine allows a case.
    #[command(name = MACHINE_PROBE_WORD, hide = true)]
    Machine {
        /// The capability that stands for it.
        capability: Capability,
    },
    /// Starts a program with few descriptors.
    #[command(name = LIMITED_WORD, hide = true)]
    Limited {
        /// How many.
        descriptors: u64,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Plays the case in a folder.
    #[command(name = "__case", hide = true)]
    Case {
        /// The case's folder.
        dir: PathBuf,
    },
}

/// `harness adapter`.
#[derive(Debug, Subcommand)]
pub(super) enum AdapterCommand {
    /// Talks to the driver alone, and says of each answer whether it is what the protocol wants.
    Check {
        /// The command that starts the driver.
        #[arg(long, value_name = "TEMPLATE")]
        driver_stdio: String,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, ClapArgs)]
pub(super) struct SubjectArgs {
    /// The command that starts the driver, with {task}, {stdout}, {stderr}, {task_dir}, {log_dir},
    /// {id}. `executor` alone is the bundled executor, which runs the task as a real command. The
    /// bundled mock driver if left out.
    #[arg(long, value_name = "TEMPLATE")]
    pub(super) driver: Option<String>,
    /// The command that starts a driver which is told over its stdin what to do, one JSON object a
    /// line: docs/adapters.md. It says itself what it declares. `executor` alone is the bundled one.
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "driver")]
    pub(super) driver_stdio: Option<String>,
    #[command(flatten)]
    pub(super) plugin: PluginArgs,
    /// The command that starts logmon, with {log_dir}, {stdout_fifo}, {stdout_name}, {stderr_fifo},
    /// {stderr_name}, {max_files}, {max_file_bytes} or {max_file_mb}, {line_guard}, {on_full} (block or drop), {start}
    /// (first or again, if it can ask the running one), and {keep_dir}, a folder that other users can't enter. The bundled one if left out.
    #[arg(long, value_name = "TEMPLATE")]
    pub(super) logmon: Option<String>,
    /// The command that starts a log collector which is a plugin of Nomad: docs/nomad.md. It may have {keep_dir}.
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "logmon")]
    pub(super) nomad_logmon: Option<String>,
    /// The command that starts a logmon for many tasks, with {control}, the path of a socket in a
    /// folder that other users can't enter. It is ready when it prints a line `ready` or takes a
    /// connection there. With --logmon-start and --logmon-stop.
    #[arg(long, value_name = "TEMPLATE")]
    pub(super) logmon_serve: Option<String>,
    /// The command that gives such a logmon a task, with {control}, {task_id} and what --logmon has
    /// of folder, FIFOs, names and limits. It ends with 0 when the FIFOs are read; else it says why
    /// not.
    #[arg(long, value_name = "TEMPLATE")]
    pub(super) logmon_start: Option<String>,
    /// The command that takes a task away, with {control} and {task_id}. It ends with 0 when
    /// everything is written and the FIFOs are let go.
    #[arg(long, value_name = "TEMPLATE")]
    pub(super) logmon_stop: Option<String>,
    /// What the driver declares beside what any command can do: forwards, merged,
    /// no-log-collection, user-change, checks-paths (refuses what is no FIFO), contains (a stop
    /// ends all that the task has started). A logmon whose
    /// FIFOs are held while it is dead declares keeps-descriptors, one whose template has {on_full}
    /// declares drop-policy by that, one that has {start} start-again, and one with --logmon-serve
    /// many-tasks.
    #[arg(long = "capability", value_name = "NAME", value_delimiter = ',', value_parser = declared)]
    pub(super) capabilities: Vec<Capability>,
}

#[derive(Clone, Debug, Default, ClapArgs)]
pub(super) struct SelectArgs {
    /// Only these cases: globs on id, family, tag or rule.
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub(super) filter: Vec<String>,
    /// All but these cases.
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub(super) exclude: Vec<String>,
    /// Only these profiles: base, resilient. All if left out.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(super) profile: Vec<Profile>,
    /// Cases down to this level: must, should. All if left out.
    #[arg(long, value_name = "NAME")]
    pub(super) level: Option<Level>,
    /// The cases of this file, or of the *.toml in this folder, instead of the shipped ones.
    #[arg(long, value_name = "FILE")]
    pub(super) scenario: Vec<PathBuf>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(super) struct RunArgs {
    /// A file instead of flags, which win over it. Else harness.toml in this folder, if it is there;
    /// /dev/null for none.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) subject: SubjectArgs,
    #[command(flatten)]
    pub(super) select: SelectArgs,
    /// Cases side by side. Twice the number of cores if left out.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) jobs: Option<u16>,
    /// Seed of everything random. Drawn, and shown, if left out.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Plays each case this many times; one failure is a failure.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) stress: u32,
    /// Plays only this part of the cases: 2/3 is the second of three. A case belongs to a part by its id.
    /// Give all parts the same --seed, and put their reports together with `harness report merge`.
    #[arg(long, value_name = "K/N")]
    pub(super) shard: Option<Shard>,
    /// Plays each case again and again, and kills logmon behind one record of the task after the other. Cases
    /// in which it can't be are left out. --filter is the usual thing beside it.
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["shard", "no_fewer", "stress"])]
    pub(super) sweep: Option<SweepKind>,
    /// Kills behind every Nth record only, and behind the first and the last. About 20 points a case if
    /// left out; the end of the run says which.
    #[arg(long, value_name = "N", requires = "sweep",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) sweep_every: Option<u64>,
    /// Begins no further case after the first failure.
    #[arg(long)]
    pub(super) fail_fast: bool,
    /// The file of failures that are known: see `harness xfail check`.
    #[arg(long, value_name = "FILE")]
    pub(super) expected: Option<PathBuf>,
    /// Fails (exit 1) if a case that the run of this report.json played is not played now.
    #[arg(long, value_name = "REPORT")]
    pub(super) no_fewer: Option<PathBuf>,
    /// Begins no case after this time, such as 90s, 10m or 2h (exit 6).
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) budget: Option<Duration>,
    /// Where reports and the folders of failed cases go: `out` if left out.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Which cases' folders are kept.
    #[arg(long, value_enum, default_value_t = KeepKind::Fail)]
    pub(super) keep: KeepKind,
    /// Further reports: junit=FILE, tap=FILE, md=FILE, html=FILE, json=FILE, text=FILE.
    #[arg(long, value_name = "KIND=FILE", value_delimiter = ',')]
    pub(super) report: Vec<ReportTarget>,
    /// Annotations in the output, for a CI system: on GitHub Actions if left out. With them, the md report
    /// goes to the file that GITHUB_STEP_SUMMARY names.
    #[arg(long, value_enum, default_value_t = AnnotationKind::Auto)]
    pub(super) annotations: AnnotationKind,
    /// How progress is shown: a bar on a terminal, a line per case elsewhere.
    #[arg(long, value_enum, default_value_t = ProgressKind::Auto)]
    pub(super) progress: ProgressKind,
    /// Colours on standard output. NO_COLOR is honoured.
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    pub(super) color: Colour,
    /// Says what would be played, and plays nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl RunArgs {
    /// The folder that is written to.
    pub(super) fn out(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new("out"))
    }
}

#[derive(Debug, ClapArgs)]
pub(super) struct ListArgs {
    /// The file that says what the subject is, if no flag does. Else harness.toml in this folder, if
    /// it is there; /dev/null for none.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) subject: SubjectArgs,
    /// Cases by globs on id, family, tag or rule. All if left out.
    #[arg(value_name = "FILTER")]
    pub(super) filter: Vec<String>,
    /// The cases of this file or folder instead of the shipped ones.
    #[arg(long, value_name = "FILE")]
    pub(super) scenario: Vec<PathBuf>,
    /// Only the cases of this part, as `run --shard` has it.
    #[arg(long, value_name = "K/N")]
    pub(super) shard: Option<Shard>,
    /// One JSON array.
    #[arg(long)]
    pub(super) json: bool,
    /// Says why a case does not apply to the subject.
    #[arg(long)]
    pub(super) why_skipped: bool,
}

/// What `harness report` can do.
#[derive(Debug, Subcommand)]
pub(super) enum ReportCommand {
    /// Makes one report of the reports of all shards, and ends as the whole run would have.
    Merge(MergeArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct MergeArgs {
    /// The report.json of every shard, in any order.
    #[arg(value_name = "SHARD.json", required = true)]
    pub(super) shards: Vec<PathBuf>,
    /// Reports of the whole: json=FILE, junit=FILE, tap=FILE, md=FILE, html=FILE, text=FILE.
    #[arg(long, value_name = "KIND=FILE", value_delimiter = ',')]
    pub(super) report: Vec<ReportTarget>,
    /// Annotations in the output, as `run` has them.
    #[arg(long, value_enum, default_value_t = AnnotationKind::Auto)]
    pub(super) annotations: AnnotationKind,
    /// Colours on standard output. NO_COLOR is honoured.
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    pub(super) color: Colour,
}

#[derive(Debug, ClapArgs)]
pub(super) struct SelfTestArgs {
    /// Plays every case against every faulty subject, not only those that must catch it.
    #[arg(long)]
    pub(super) full: bool,
    /// Only these subjects, by glob on their names.
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub(super) filter: Vec<String>,
    /// Cases side by side. Twice the number of cores if left out.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) jobs: Option<u16>,
    /// Where the folders of surprising cases go.
    #[arg(long, value_name = "DIR", default_value = "out-self-test")]
    pub(super) out: PathBuf,
    /// Seed of everything random.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `--sweep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SweepKind {
    /// kill -9, and a start at once.
    KillLogmon,
}

/// `--annotations`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AnnotationKind {
    /// As GitHub Actions reads them, when it runs this program.
    Auto,
    /// As GitHub Actions reads them.
    Github,
    /// None.
    None,
}

/// The shells with completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ShellKind {
    /// bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
    /// elvish.
    Elvish,
}

/// `--progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressKind {
    /// A bar on a terminal, else lines.
    Auto,
    /// A bar with the cases that run.
    Bar,
    /// A line per case.
    Lines,
    /// Failures and the summary only.
    None,
}

/// `--keep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KeepKind {
    /// Those that did not pass.
    Fail,
    /// All.
    All,
    /// None.
    None,
}

impl From<KeepKind> for Keep {
    fn from(kind: KeepKind) -> Self {
        match kind {
            KeepKind::Fail => Self::Fail,
            KeepKind::All => Self::All,
            KeepKind::None => Self::None,
        }
    }
}

/// One `--report`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReportTarget {
    /// What is written.
    pub(super) kind: ReportKind,
    /// Where to.
    pub(super) path: PathBuf,
}

/// What a further report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportKind {
    /// JUnit XML.
    Junit,
    /// The same as `report.json`.
    Json,
    /// What is printed, without colours.
    Text,
    /// TAP, version 14.
    Tap,
    /// Markdown for the summary of a CI job.
    Md,
    /// One page for a browser.
    Html,
}

impl ReportKind {
    const ALL: [(&str, Self); 6] = [
        ("junit", Self::Junit),
        ("json", Self::Json),
        ("text", Self::Text),
        ("tap", Self::Tap),
        ("md", Self::Md),
        ("html", Self::Html),
    ];
}

impl FromStr for ReportTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, path) = match text.split_once('=') {
            Some((_, "")) | None => {
                return Err("write KIND=FILE, for instance junit=out/junit.xml".into());
            }
            Some(parts) => parts,
        };
        match ReportKind::ALL.iter().find(|(name, _)| *name == kind) {
            Some((_, kind)) => Ok(Self {
                kind: *kind,
                path: path.into(),
            }),
            None => Err(format!(
                "unknown kind of report `{kind}`; known are {}",
                ReportKind::ALL.map(|(name, _)| name).join(", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn no_command_is_a_run() {
        let args = Args::try_parse_from(["harness", "--filter", "mon/*", "-j", "3"]).unwrap();
        assert!(args.command.is_none());
        assert_eq!(args.run.select.filter, ["mon/*"]);
        assert_eq!(args.run.jobs, Some(3));
    }

    #[test]
    fn a_report_is_a_kind_and_a_file() {
        let target = ReportTarget {
            kind: ReportKind::Junit,
            path: "a.xml".into(),
        };
        assert_eq!("junit=a.xml".parse(), Ok(target));
        let error = "xml=a".parse::<ReportTarget>().unwrap_err();
        assert!(error.ends_with("known are junit, json, text, tap, md, html"));
        assert!("junit".parse::<ReportTarget>().is_err());
    }
}
