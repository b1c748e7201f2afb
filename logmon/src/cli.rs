//! Core: the command line of logmon, as it is written and not yet checked.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Parser, Subcommand, ValueEnum};

use crate::collect::OnFull;
use crate::config::{RawConfig, RawStream};
use crate::error::Error;
use crate::name::StreamKind;
use crate::serve::{DEFAULT_FIFO_MODE, DEFAULT_LINE_GUARD, Metrics};

/// Reads a task's FIFOs and writes size-rotated log files.
#[derive(Debug, Parser)]
#[command(name = "logmon", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Collects the output of one task until SIGTERM or SIGINT.
    ///
    /// Prints the line `ready` on stdout once the FIFOs are open and locked. Exit codes: 0 drained,
    /// 64 usage, 65 refused configuration, 66 refused path, 70 bug, 71 system error or bytes lost at the
    /// stop, 75 another logmon is at work on the same FIFO.
    Run(RunArgs),
    /// Collects the output of many tasks, which are started and stopped over a control socket.
    ///
    /// Prints the line `ready` on stdout once the socket listens. SIGTERM or SIGINT drains all tasks.
    Serve(ServeArgs),
    /// Tells a `logmon serve` what to do.
    Ctl(CtlArgs),
    /// Shows the tasks of a `logmon serve` and their counters.
    Status(StatusArgs),
    /// Holds descriptors for logmons while they are dead; `run --keeper` starts it by itself.
    ///
    /// It listens on a socket in a folder with mode 0700, which it makes if it is missing, prints the
    /// line `ready`, and ends when it holds nothing and nobody is connected. Exit codes: 0 not needed any
    /// more, 66 refused path, 71 system error, 75 another keeper serves there.
    Keeper(KeeperArgs),
    /// Keeps a logmon alive: starts it with a keeper, and starts it again when it dies.
    ///
    /// Prints the line `ready` once logmon is ready. After its own death logmon goes on, and the next
    /// supervisor of the same state folder finds it. SIGTERM or SIGINT: logmon drains, and its exit code
    /// is this one's. Exit codes beside those of `run`: 69 the program of `--plugin` is no plugin,
    /// 75 another supervisor works in the folder.
    Supervise(SuperviseArgs),
    /// Is a plugin of Nomad: a host starts it, and tells it over gRPC which tasks to collect.
    ///
    /// It serves Nomad's LogMon: Start collects one task, known by its two FIFOs, and Stop, which names
    /// none, stops all of them. Diagnostics are JSON lines of hclog on stderr. It outlives its host, and
    /// another host may find it again. It drains and ends when a host asks for that, or by SIGTERM. Exit
    /// codes beside those of `run`: 1 not started by a host.
    #[cfg(feature = "plugin")]
    Plugin(PluginArgs),
}

/// The options of `logmon plugin`.
#[cfg(feature = "plugin")]
#[derive(Debug, clap::Args)]
pub(crate) struct PluginArgs {
    /// Has the FIFOs of all tasks held open by the keeper at this socket, as `run --keeper` does.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) keeper: Option<PathBuf>,
    /// Ends after draining when for so long no host was connected, no FIFO had a writer and nothing was
    /// left to read; 0 is never.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) orphan_after: u64,
    /// The least level of diagnostics on stderr.
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LogLevel,
}

/// The options of `logmon supervise`.
#[derive(Debug, clap::Args)]
pub(crate) struct SuperviseArgs {
    /// The folder of the lock, the state and the keeper's socket, one for each logmon; made with mode
    /// 0700 if it is missing.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,
    /// Looks after this log collector, a plugin of Nomad such as `nomad logmon`, in the place of a logmon of
    /// its own: starts it, tells it what the options of `run` say, asks every 3 seconds whether it is well,
    /// and starts it again when it is dead or does not answer. Words are split as a shell does it. Sizes
    /// must be whole MiB.
    #[cfg(feature = "plugin")]
    #[arg(long, value_name = "PROGRAM ARGS", allow_hyphen_values = true)]
    pub(crate) plugin: Option<String>,
    /// Starts and makes nothing, for a task whose output goes to /dev/null; says that it is ready, and ends
    /// when it is told to.
    #[arg(long)]
    pub(crate) no_log_collection: bool,
    /// The least level of diagnostics on stderr.
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LogLevel,
    /// The form of diagnostics on stderr.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// What logmon is started with: `run` and its options.
    #[arg(
        last = true,
        required_unless_present = "no_log_collection",
        value_name = "COMMAND"
    )]
    pub(crate) command: Vec<OsString>,
}

impl SuperviseArgs {
    /// True if no logmon of our own reads the words of the command.
    pub(crate) fn reads_command(&self) -> bool {
        #[cfg(feature = "plugin")]
        let is_for_plugin = self.plugin.is_some();
        #[cfg(not(feature = "plugin"))]
        let is_for_plugin = false;
        is_for_plugin || self.no_log_collection
    }

    /// Reads the command if no logmon of our own does; gives none if it does, or if it is not `run`.
    pub(crate) fn read_command(&self) -> Result<Option<RunArgs>, clap::Error> {
        if !self.reads_command() || self.command.first().is_none_or(|first| first != "run") {
            return Ok(None);
        }
        let words = std::iter::once("logmon".into()).chain(self.command.iter().cloned());
        Cli::try_parse_from(words).map(|cli| match cli.command {
            Command::Run(args) => Some(args),
            Command::Serve(_)
            | Command::Ctl(_)
            | Command::Status(_)
            | Command::Keeper(_)
            | Command::Supervise(_) => None,
            #[cfg(feature = "plugin")]
            Command::Plugin(_) => None,
        })
    }
}

/// The options of `logmon keeper`.
#[derive(Debug, clap::Args)]
pub(crate) struct KeeperArgs {
    /// The path of the socket.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) socket: PathBuf,
    /// Prints what the keeper there holds, a line each, and ends.
    #[arg(long)]
    pub(crate) list: bool,
}

/// Who brings a logmon back, and who holds its descriptors meanwhile.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KeepingArgs {
    /// Has the FIFOs held open by the keeper at this socket, so that a dead logmon costs the task
    /// nothing; a keeper is started if there is none. `systemd` stands for the service manager's store.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) keeper: Option<PathBuf>,
    /// Ends after draining when no supervisor works in this state folder and no FIFO has had a writer for
    /// 10 seconds. `supervise` says it by itself.
    #[arg(long, value_name = "DIR", requires = "keeper")]
    pub(crate) controller: Option<PathBuf>,
}

/// The options of `logmon serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The control socket; its folder must belong to this user or root, and others must not be able to
    /// write it. The lock of the server is the file SOCKET.lock.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) control: PathBuf,
    /// Where Prometheus may fetch the counters: ADDRESS:PORT, or unix:PATH.
    #[arg(long, value_name = "WHERE")]
    pub(crate) metrics: Option<Metrics>,
    /// Has the FIFOs of all tasks held open by the keeper at this socket, as `run --keeper` does.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) keeper: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) diagnostics: DiagnosticsArgs,
}

/// The options of `logmon status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// The control socket of the server.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) control: PathBuf,
    #[command(flatten)]
    pub(crate) what: StatusOf,
}

/// Which status, and how it is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusOf {
    /// Only this task, with all that is known of it.
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,
    /// The answer of the server as it came, one line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The options of `logmon ctl`.
#[derive(Debug, clap::Args)]
pub(crate) struct CtlArgs {
    /// The control socket of the server.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) control: PathBuf,
    #[command(subcommand)]
    pub(crate) order: Order,
}

/// What to tell a server.
#[derive(Debug, Subcommand)]
pub(crate) enum Order {
    /// Starts a task, or what of it does not run; other limits are applied to what runs.
    Start {
        /// What the task is called from now on.
        #[arg(long, value_name = "ID")]
        task: String,
        #[command(flatten)]
        settings: TaskArgs,
    },
    /// Stops a task: what lies in its pipes is written first.
    Stop {
        /// The task.
        #[arg(long, value_name = "ID")]
        task: String,
    },
    /// Changes limits of a task that runs; those that are not named stay.
    #[command(group = ArgGroup::new("limits").args(["max_files", "max_file_size", "line_guard"]).required(true).multiple(true))]
    Reconfigure {
        /// The task.
        #[arg(long, value_name = "ID")]
        task: String,
        /// How many files a stream may have; what is too much is deleted at once.
        #[arg(long, value_name = "N", allow_hyphen_values = true)]
        max_files: Option<String>,
        /// How large a file may be; a larger one is closed with the next byte.
        #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
        max_file_size: Option<String>,
        /// Lines up to this length are never split.
        #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
        line_guard: Option<String>,
    },
    /// Shows the tasks and their counters.
    Status(StatusOf),
    /// Asks whether the server lives.
    Ping,
}

/// The options of `logmon run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    #[command(flatten)]
    pub(crate) keeping: KeepingArgs,
    #[command(flatten)]
    pub(crate) diagnostics: DiagnosticsArgs,
}

/// What a task's streams are and how they are kept.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("streams").args(["stdout", "stderr"]).required(true).multiple(true))]
pub(crate) struct TaskArgs {
    /// The folder of the log files; it must exist and be no symbolic link.
    #[arg(long, value_name = "DIR")]
    pub(crate) log_dir: PathBuf,
    /// A folder that only trusted users can change. Log folder and FIFOs must lie below it, and from it on
    /// no symbolic link is followed. Without it, links in folders above theirs are.
    #[arg(long, value_name = "DIR")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// The FIFO of the task's stdout, made if it is missing; files are DIR/NAME.0, DIR/NAME.1, …
    #[arg(long, value_name = "FIFO=NAME", allow_hyphen_values = true)]
    pub(crate) stdout: Option<OsString>,
    /// The same for the task's stderr. One of the two may be left out.
    #[arg(long, value_name = "FIFO=NAME", allow_hyphen_values = true)]
    pub(crate) stderr: Option<OsString>,
    /// How many files a stream may have, at least 1; the oldest is deleted.
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) max_files: String,
    /// How large a file may be: bytes, or a number with KiB, MiB, GiB, KB, MB or GB.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) max_file_size: String,
    /// Lines up to this length are never split; lowered to the file size if larger.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = DEFAULT_LINE_GUARD,
        allow_hyphen_values = true
    )]
    pub(crate) line_guard: String,
    /// What to do while the log folder takes no bytes: let the task wait, or delete the oldest rotated
    /// files if the disk is full, then drop output; both are recorded in NAME.gaps.
    #[arg(long, value_enum, value_name = "POLICY", default_value = "block")]
    pub(crate) on_full: OnFullArg,
    /// The mode of a FIFO that has to be made, in octal; others must not be able to read it.
    #[arg(
        long,
        value_name = "MODE",
        default_value = DEFAULT_FIFO_MODE,
        allow_hyphen_values = true
    )]
    pub(crate) fifo_mode: String,
    /// Whom a FIFO that has to be made is given to: USER, USER:GROUP or :GROUP, each a name or a number.
    /// Only root can name another user; a group may be one of this user's. A FIFO of this user that is
    /// there already is accepted, beside those of root and of the user that logmon runs as.
    #[arg(long, value_name = "OWNER", allow_hyphen_values = true)]
    pub(crate) fifo_owner: Option<String>,
}

/// What logmon tells on stderr.
#[derive(Debug, clap::Args)]
pub(crate) struct DiagnosticsArgs {
    /// The least level of diagnostics on stderr.
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LogLevel,
    /// The form of diagnostics on stderr.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

impl TaskArgs {
    pub(crate) fn into_raw_config(self) -> Result<RawConfig, Error> {
        let split = |kind, text: Option<OsString>| {
            text.map(|text| RawStream::split(kind, &text)).transpose()
        };
        Ok(RawConfig {
            log_dir: self.log_dir,
            trusted_root: self.trusted_root,
            stdout: split(StreamKind::Stdout, self.stdout)?,
            stderr: split(StreamKind::Stderr, self.stderr)?,
            max_files: self.max_files,
            max_file_size: self.max_file_size,
            line_guard: self.line_guard,
            on_full: match self.on_full {
                OnFullArg::Block => OnFull::Block,
                OnFullArg::Drop => OnFull::Drop,
            },
            fifo_mode: self.fifo_mode,
            fifo_owner: self.fifo_owner,
        })
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OnFullArg {
    Block,
    Drop,
}

/// The least level of diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Nothing.
    Off,
    /// Bytes are lost or a person is needed.
    Error,
    /// Odd, nothing lost.
    Warn,
    /// Start, stop and rotation.
    Info,
    /// Details.
    Debug,
    /// Every step.
    Trace,
}

/// The form of diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line of text each.
    Text,
    /// A JSON object a line each.
    Json,
}
