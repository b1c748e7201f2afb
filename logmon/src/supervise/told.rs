//! Edge: `logmon supervise`: which logmon its options are about.

use super::error::SuperviseError;
use super::own::Own;
use super::run::{collect_nothing, look_after};
use crate::cli::{RunArgs, SuperviseArgs};
use crate::config::RawConfig;
use crate::error::Error;

/// Looks after what the options name, until somebody asks for a stop, or it can't be; gives the exit code.
/// `run` is what the words behind `--` say, if they have to be read here.
///
/// # Panics
/// Outside of a tokio runtime, or in one whose I/O or time is not enabled.
pub(crate) async fn supervise(args: SuperviseArgs, run: Option<RunArgs>) -> Result<u8, Error> {
    if args.reads_command() && !args.command.is_empty() && run.is_none() {
        return Err(SuperviseError::of_command(&args.command).into());
    }
    if args.no_log_collection {
        // Nothing comes of it, but what is wrong is wrong.
        run.map(|run| run.task.into_raw_config().and_then(RawConfig::checked))
            .transpose()?;
        return collect_nothing().await;
    }
    #[cfg(feature = "plugin")]
    if let Some((program, run)) = args.plugin.zip(run) {
        let words = plugin::words(&program)?;
        let start = plugin::start(run)?;
        let ward = super::plugged::Plugged::open(&args.state, words, start)?;
        return look_after(ward).await;
    }
    look_after(Own::open(&args.state, args.command)?).await
}

#[cfg(feature = "plugin")]
mod plugin {
    use std::path::PathBuf;

    use plugin::proto::logmon::StartRequest;

    use super::super::error::SuperviseError;
    use crate::cli::{DiagnosticsArgs, LogFormat, LogLevel, RunArgs};
    use crate::config::{RawConfig, RawStream};
    use crate::error::Error;
    use crate::nomad::{self, Unsayable};

    /// Splits a command as a shell does; gives at least one word.
    pub(super) fn words(program: &str) -> Result<Vec<String>, SuperviseError> {
        let words = shell_words::split(program).map_err(|source| SuperviseError::Words {
            text: program.to_owned(),
            source,
        })?;
        if words.first().is_none_or(String::is_empty) {
            return Err(SuperviseError::NoProgram);
        }
        Ok(words)
    }

    /// Gives what a plugin is told in the place of these options.
    pub(super) fn start(run: RunArgs) -> Result<StartRequest, Error> {
        let unsayable = |option, way_out| Unsayable::NoWord { option, way_out };
        let no_word = match (run.keeping.keeper, run.diagnostics) {
            (Some(_), _) => Some(unsayable(
                "keeper",
                "write it into --plugin, such as --plugin 'logmon plugin --keeper SOCKET'",
            )),
            (
                None,
                DiagnosticsArgs {
                    log_level: LogLevel::Info,
                    log_format: LogFormat::Text,
                },
            ) => None,
            (None, diagnostics) => Some(unsayable(
                if diagnostics.log_level == LogLevel::Info {
                    "log-format"
                } else {
                    "log-level"
                },
                "give it to supervise, in front of `--`",
            )),
        };
        if let Some(unsayable) = no_word {
            return Err(SuperviseError::from(unsayable).into());
        }
        let task = absolute(run.task.into_raw_config()?).checked()?;
        Ok(nomad::request(&task).map_err(SuperviseError::from)?)
    }

    /// A plugin may run in another folder, and a plugin of Nomad refuses what depends on its own.
    fn absolute(raw: RawConfig) -> RawConfig {
        // It is empty if it has no absolute form, and is refused as that.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let stream = |raw: RawStream| RawStream {
            fifo: absolute(raw.fifo),
            ..raw
        };
        RawConfig {
            log_dir: absolute(raw.log_dir),
            stdout: raw.stdout.map(stream),
            stderr: raw.stderr.map(stream),
            ..raw
        }
    }
}
