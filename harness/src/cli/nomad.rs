//! `harness nomad`. (edge)

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use plugin::host::Deadlines;
use plugin::proto::logmon::StartRequest;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde_json::{Map, Value};

use super::console;
use super::duration::duration;
use super::refusal::Refusal;
use super::run::reexec;
use crate::adapter::DriverPlugin;
use crate::capability::Capability;
use crate::config::DriverTable;
use crate::nomad::{self, Asked, Collecting, CollectingError, Mark, OtherLimits, Tied, Wanted};
use crate::outcome::Ending;
use crate::report;
use crate::suite;

#[derive(Debug, Subcommand)]
pub(super) enum NomadCommand {
    /// Loads a plugin, tells what it says of itself, and ends it. No task is started.
    Doctor {
        /// A file with the plugin's configuration, TOML or JSON. Nothing is configured if left out.
        #[arg(long, value_name = "FILE")]
        plugin_config: Option<PathBuf>,
        /// How long each step may take, such as 5s: a minute, as for Nomad, if left out.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        within: Option<Duration>,
        /// Ask the plugin to encrypt by mTLS, as other hosts may and Nomad never does.
        #[arg(long)]
        tls: bool,
        /// The plugin's program and its arguments.
        #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Speaks for a driver plugin as docs/adapters.md says: what --nomad-plugin starts.
    #[command(hide = true)]
    Driver(DriverArgs),
    /// Hosts a log collector that is a plugin: what --nomad-logmon starts.
    #[command(hide = true)]
    Logmon(LogmonArgs),
    /// Starts a program that is killed when this one's parent ends.
    #[command(hide = true)]
    Tied {
        /// The process that it is to end with: nothing is started if that is not the parent any more.
        parent: i32,
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// A driver that is a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, ClapArgs)]
pub(super) struct PluginArgs {
    /// The program of a driver plugin of Nomad: docs/nomad.md. With --task-config.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["driver", "driver_stdio"], requires = "task_config")]
    pub(super) nomad_plugin: Option<PathBuf>,
    /// Its arguments, split into words as a shell does it.
    #[arg(
        long,
        value_name = "ARGUMENTS",
        requires = "nomad_plugin",
        allow_hyphen_values = true
    )]
    plugin_args: Option<String>,
    /// A file with its configuration, TOML or JSON. Nothing is configured if left out.
    #[arg(long, value_name = "FILE", requires = "nomad_plugin")]
    plugin_config: Option<PathBuf>,
    /// A file with the configuration of its tasks, TOML or JSON, with {task}, or {program} and {arguments}, and
    /// {task_dir}, {alloc_dir}, {log_dir}, {id}, {stdout}, {stderr}.
    #[arg(long, value_name = "FILE", requires = "nomad_plugin")]
    task_config: Option<PathBuf>,
}

impl PluginArgs {
    /// What a configuration file says of it.
    pub(super) fn of_file(driver: &DriverTable) -> Self {
        Self {
            nomad_plugin: driver.nomad_plugin.clone(),
            plugin_args: driver.plugin_args.clone(),
            plugin_config: driver.plugin_config.clone(),
            task_config: driver.task_config.clone(),
        }
    }

    /// The command that speaks for the plugin; none if there is none. What its author declares is said by that.
    pub(super) fn as_driver_stdio(
        &self,
        declared: &[Capability],
    ) -> Result<Option<String>, Refusal> {
        let (Some(program), Some(task_config)) = (&self.nomad_plugin, &self.task_config) else {
            return Ok(None);
        };
        // What is wrong about them is told before anything is started.
        configuration(self.plugin_config.as_deref())?;
        configuration(Some(task_config))?;
        let plugin = DriverPlugin {
            program: if program.components().count() > 1 {
                absolute(program)?
            } else {
                program.to_string_lossy().into_owned()
            },
            arguments: self.arguments()?,
            plugin_config: self.plugin_config.as_deref().map(absolute).transpose()?,
            task_config: absolute(task_config)?,
            declared: declared.iter().map(ToString::to_string).collect(),
        };
        Ok(Some(shell_words::join(plugin.spoken_for())))
    }

    fn arguments(&self) -> Result<Vec<String>, Refusal> {
        let text = self.plugin_args.as_deref().unwrap_or_default();
        shell_words::split(text).map_err(|error| {
            Refusal::new(Ending::Usage, format!("--plugin-args {text:?}: {error}"))
        })
    }
}

/// A path that stays the same in another folder.
fn absolute(path: &Path) -> Result<String, Refusal> {
    let absolute = std::path::absolute(path).map_err(|error| {
        Refusal::new(
            Ending::BadConfiguration,
            format!("{}: {error}", path.display()),
        )
    })?;
    Ok(absolute.to_string_lossy().into_owned())
}

#[derive(Debug, ClapArgs)]
pub(super) struct LogmonArgs {
    /// The folder of the log files.
    #[arg(long, value_name = "DIR")]
    log_dir: String,
    /// The FIFO of stdout and the name of its files.
    #[arg(long, value_name = "FIFO=NAME", value_parser = stream)]
    stdout: (String, String),
    /// The same of stderr.
    #[arg(long, value_name = "FIFO=NAME", value_parser = stream)]
    stderr: (String, String),
    /// Files that are kept of a stream.
    #[arg(long, value_name = "N")]
    max_files: u32,
    /// The largest size of a file, in units of 1,048,576 bytes.
    #[arg(long, value_name = "MB")]
    max_file_mb: u32,
    /// Whether a plugin is started, or the running one is asked to start once more what it collects.
    #[arg(long, value_enum, default_value_t = StartKind::First)]
    start: StartKind,
    /// The socket that it is asked over. Nobody can ask if left out.
    #[arg(long, value_name = "SOCKET", required_if_eq("start", "again"))]
    again: Option<PathBuf>,
    /// The plugin's program and its arguments.
    #[arg(
        value_name = "PROGRAM",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StartKind {
    First,
    Again,
}

fn stream(text: &str) -> Result<(String, String), String> {
    // A path may have the sign; a name of files can't have a slash behind it.
    let (fifo, name) = text.rsplit_once('=').ok_or("give it as FIFO=NAME")?;
    Ok((fifo.to_owned(), name.to_owned()))
}

#[derive(Debug, ClapArgs)]
pub(super) struct DriverArgs {
    /// A file with the plugin's configuration.
    #[arg(long, value_name = "FILE")]
    plugin_config: Option<PathBuf>,
    /// A file with the template of a task's configuration.
    #[arg(long, value_name = "FILE")]
    task_config: PathBuf,
    /// What the driver declares by its author's word.
    #[arg(long = "capability", value_name = "NAME", value_delimiter = ',')]
    capabilities: Vec<Capability>,
    /// The plugin's program and its arguments.
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    command: Vec<String>,
}

/// Runs one of them.
pub(super) fn nomad(command: &NomadCommand) -> Result<Ending, Refusal> {
    match command {
        NomadCommand::Doctor {
            plugin_config,
            within,
            tls,
            command,
        } => {
            let (program, arguments) = program_of(command)?;
            doctor(&Asked {
                program: program.into(),
                arguments,
                configuration: configuration(plugin_config.as_deref())?,
                deadlines: deadlines(*within),
                is_encrypted: *tls,
            })
        }
        NomadCommand::Driver(args) => driver(args),
        NomadCommand::Logmon(args) => logmon(args),
        NomadCommand::Tied { parent, command } => Err(tied(*parent, command)),
    }
}

/// Those of Nomad, or none that is longer than this.
fn deadlines(within: Option<Duration>) -> Deadlines {
    let all = Deadlines::default();
    let Some(within) = within else { return all };
    Deadlines {
        handshake: all.handshake.min(within),
        connect: all.connect.min(within),
        call: all.call.min(within),
        shutdown: all.shutdown.min(within),
        exit: all.exit.min(within),
        ..all
    }
}

fn program_of(command: &[String]) -> Result<(String, Vec<String>), Refusal> {
    match command {
        [program, arguments @ ..] => Ok((program.clone(), arguments.to_vec())),
        [] => Err(Refusal::new(Ending::Usage, "name the plugin's program")),
    }
}

fn configuration(path: Option<&Path>) -> Result<Value, Refusal> {
    match path {
        None => Ok(Value::Object(Map::new())),
        Some(path) => nomad::read(path)
            .map_err(|error| Refusal::new(Ending::BadConfiguration, suite::error_chain(&error))),
    }
}

/// The plugin of a command, so that it ends with this process.
fn tied_plugin(command: &[String]) -> Result<Tied, Refusal> {
    let (program, arguments) = program_of(command)?;
    let mut words = reexec()?;
    let own = std::process::id().to_string();
    words.extend(["nomad".to_owned(), "tied".to_owned(), own]);
    Ok(Tied::new(words, program, arguments))
}

fn logmon(args: &LogmonArgs) -> Result<Ending, Refusal> {
    if let (StartKind::Again, Some(socket)) = (args.start, &args.again) {
        let limits = OtherLimits {
            max_files: args.max_files,
            max_file_size_mb: args.max_file_mb,
        };
        return nomad::start_again(socket, &limits)
            .map(|()| Ending::Conformant)
            .map_err(|error| Refusal::new(Ending::BadSubject, suite::error_chain(&error)));
    }
    let (stdout, stderr) = (args.stdout.clone(), args.stderr.clone());
    let collecting = Collecting {
        plugin: tied_plugin(&args.command)?,
        start: StartRequest {
            log_dir: args.log_dir.clone(),
            stdout_file_name: stdout.1,
            stderr_file_name: stderr.1,
            max_files: args.max_files,
            max_file_size_mb: args.max_file_mb,
            stdout_fifo: stdout.0,
            stderr_fifo: stderr.0,
        },
        again: args.again.clone(),
    };
    nomad::collect(&collecting)
        .map(|()| Ending::Conformant)
        .map_err(|error| {
            let ending = match error {
                CollectingError::Runtime(_) => Ending::Unfit,
                CollectingError::Refused(_) | CollectingError::NotStopped(_) => Ending::BadSubject,
            };
            Refusal::new(ending, suite::error_chain(&error))
        })
}

fn driver(args: &DriverArgs) -> Result<Ending, Refusal> {
    let wanted = Wanted {
        plugin: tied_plugin(&args.command)?,
        plugin_config: configuration(args.plugin_config.as_deref())?,
        task_config: configuration(Some(&args.task_config))?,
        declared: args.capabilities.clone(),
    };
    nomad::speak(wanted)
        .map(|()| Ending::Conformant)
        .map_err(|error| Refusal::new(Ending::Unfit, suite::error_chain(&error)))
}

/// Becomes the program; gives the reason if that can't be done.
fn tied(parent: i32, command: &[String]) -> Refusal {
    let failed = |error: std::io::Error| {
        let program = command.first().map_or("", String::as_str);
        Refusal::new(Ending::BadSubject, format!("start {program}: {error}"))
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return failed(error.into());
    }
    // The signal is for an end that is still to come.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        return Refusal::new(Ending::Interrupted, "the process to end with has ended");
    }
    match command {
        [program, arguments @ ..] => failed(Command::new(program).args(arguments).exec()),
        [] => Refusal::new(Ending::Usage, "name a program"),
    }
}

fn doctor(asked: &Asked) -> Result<Ending, Refusal> {
    let wrong = nomad::examine(asked, &mut |line| {
        let word = match line.mark {
            Mark::Right => "ok",
            Mark::Wrong => "WRONG",
            Mark::Note => "note",
        };
        let left = format!("{word:<6} {:<17} ", line.what);
        console::say(&report::hanging(&left, &line.text, 80));
    });
    let wrong = wrong.map_err(|error| Refusal::new(Ending::Unfit, suite::error_chain(&error)))?;
    let host = if asked.is_encrypted {
        "A host with TLS"
    } else {
        "Nomad"
    };
    if wrong == 0 {
        console::say(&format!("{host} would load this plugin\n"));
        Ok(Ending::Conformant)
    } else {
        console::say(&format!(
            "{host} would not get along with this plugin; mend the lines marked WRONG\n"
        ));
        Ok(Ending::BadSubject)
    }
}
