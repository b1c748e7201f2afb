//! The payload: plays a script on its own stdout and stderr: an edge.

mod output;
mod parts;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};

use self::output::Output;
pub(crate) use self::output::pause;
pub(crate) use self::parts::{HoldArgs, PartArgs, hold, write_part};
use crate::disposition::{self, Disposition};
use crate::gate;
use crate::inherited::inherited;
use crate::journal::{Event, Role};
use crate::journal_file::{Detail, JournalFile};
use crate::record::RunId;
use crate::reexec::Reexec;
use crate::script::{Answers, Batch, End, Numbering, Script, Step};
use crate::stream::Stream;

/// The arguments of `task`.
#[derive(Debug, clap::Args)]
pub(crate) struct TaskArgs {
    /// The script, TOML or (by its name) JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) script: PathBuf,
    /// The run that the records name, as eight hex digits.
    #[arg(long, value_name = "RUNID", default_value = "00000000")]
    pub(crate) run: RunId,
    /// How many runs of this task on the same FIFOs came before.
    #[arg(long, value_name = "G", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=9999))]
    pub(crate) generation: u32,
    /// Where to keep the journal.
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// The folder whose files open the gates.
    #[arg(long, value_name = "DIR")]
    pub(crate) gates: Option<PathBuf>,
    /// Journal only marks and gates.
    #[arg(long, hide = true)]
    pub(crate) marks_only: bool,
}

/// Reads a script from its file.
pub(crate) fn read_script(path: &Path) -> Result<Script> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the script {}", path.display()))?;
    Ok(Script::parse(&text, path)?)
}

/// Plays the script to its end and gives the status to exit with; a script that ends by a signal
/// does not return.
pub(crate) fn task(args: TaskArgs, reexec: &Reexec) -> Result<u8> {
    if !inherited().ignored.contains(&(Signal::SIGPIPE as u8)) {
        // The runtime ignores it; a task has the default unless its driver says otherwise.
        disposition::set(Signal::SIGPIPE, Disposition::Default)
            .context("cannot restore SIGPIPE")?;
    }
    let script = read_script(&args.script)?;
    let detail = if args.marks_only {
        // `play` is one task to whoever looks at it: its player must not outlive it.
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("cannot bind the task to play")?;
        Detail::MarksAndGates
    } else {
        Detail::All
    };
    let journal = JournalFile::open(args.journal.as_deref(), detail)?;
    journal.hello(Role::Task);
    catch_sigterm(&script.answers)?;
    let player = Player {
        numbering: Numbering::new(script.seed, args.run, args.generation)
            .leaving_out(script.leave_out),
        output: Output::new(&journal),
        gates: args.gates,
        journal: &journal,
        reexec,
    };
    let end = player.play(&script)?;
    let signal = match end {
        End::Exit(_) => None,
        End::Die(signal) => Some(signal.number()),
    };
    let code = end.status();
    journal.add(Event::Exit { code, signal });
    match end {
        End::Exit(code) => Ok(code),
        End::Die(signal) => {
            // A death that was asked for leaves no core file.
            setrlimit(Resource::RLIMIT_CORE, 0, 0).context("cannot forgo a core file")?;
            disposition::die_of(signal.as_nix()).context("cannot end by a signal")?;
            // A signal that ends nobody; the status says which.
            Ok(u8::try_from(code).unwrap_or(u8::MAX))
        }
    }
}

/// Has SIGTERM answered as the script says, if it says so. The caller must be the only thread.
fn catch_sigterm(answers: &Answers) -> Result<()> {
    let kill_after = answers.kill_after;
    if kill_after.is_none() && answers.signal_error.is_none() {
        return Ok(());
    }
    let sigterm = SigSet::from(Signal::SIGTERM);
    // Every later thread inherits it, and so the signal waits for the one that takes it.
    sigterm.thread_block().context("cannot block SIGTERM")?;
    let Some(kill_after) = kill_after else {
        // Nobody takes it.
        return Ok(());
    };
    std::thread::spawn(move || {
        if sigterm.wait().is_ok() {
            output::pause(kill_after);
            // Either it ends the process or the script's own end does.
            disposition::die_of(Signal::SIGTERM).ok();
        }
    });
    Ok(())
}

struct Player<'a> {
    numbering: Numbering,
    output: Output<'a>,
    gates: Option<PathBuf>,
    journal: &'a JournalFile,
    reexec: &'a Reexec,
}

impl Player<'_> {
    fn play(mut self, script: &Script) -> Result<End> {
        for (index, step) in script.steps.iter().enumerate() {
            let ended = self
                .step(step)
                .with_context(|| format!("cannot play step {}", index + 1))?;
            if let Some(end) = ended {
                return Ok(end);
            }
        }
        Ok(script.end)
    }

    fn step(&mut self, step: &Step) -> Result<Option<End>> {
        if let Some(batch) = self.numbering.take(step) {
            self.write(&batch)?;
            return Ok(None);
        }
        match step {
            Step::Records { .. } | Step::Text { .. } | Step::Raw { .. } | Step::Lines { .. } => {}
            Step::Sleep { ms } => output::pause(Duration::from_millis(*ms)),
            Step::Gate { name } => {
                let gate = self.gate(name)?;
                // So that whoever reads the journal knows when the gate is reached, not only when
                // it is passed.
                let reached = format!("waits at gate {name}");
                self.journal.add(Event::Mark { name: reached });
                gate::wait(&gate)?;
                let name = name.clone();
                self.journal.add(Event::Gate { name });
            }
            Step::Mark { name } => {
                let name = name.clone();
                self.journal.add(Event::Mark { name });
            }
            Step::Close { stream } => self.output.close(*stream)?,
            Step::Reopen { stream } => self.output.reopen(*stream)?,
            Step::Child {
                streams,
                hold_ms,
                until_gate,
                text,
                apart,
            } => {
                let mut command = self.child(streams, *hold_ms, until_gate.as_deref())?;
                command.args(text.iter().map(|text| format!("--text={text}")));
                if *apart {
                    command.process_group(0);
                }
                command.spawn().context("cannot start a child")?;
            }
            Step::Exec { argv } => {
                let mut command = Command::new(&argv[0]);
                command.args(&argv[1..]);
                self.output.wire(&mut command, &Stream::BOTH);
                command
                    .status()
                    .with_context(|| format!("cannot run {}", argv[0]))?;
            }
            Step::Ignore { signal } => disposition::set(signal.as_nix(), Disposition::Ignore)
                .context("cannot ignore the signal")?,
            Step::Die { .. } | Step::Exit { .. } => return Ok(step.ending()),
        }
        Ok(None)
    }

    fn gate(&self, name: &str) -> Result<PathBuf> {
        let folder = self.gates.as_ref();
        let folder = folder.context("the script has gates: say where with --gates DIR")?;
        Ok(folder.join(name))
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        if !batch.concurrent {
            let pieces = batch.pieces.map_or(usize::MAX, std::num::NonZero::get);
            let together = batch.together.map_or(1, std::num::NonZero::get);
            let pause = Duration::from_micros(batch.pause_us);
            for part in &batch.parts {
                self.output.write_part(part, together, pieces, pause)?;
            }
            return Ok(());
        }
        let mut writers = Vec::new();
        for part in &batch.parts {
            let json = serde_json::to_string(part).context("cannot hand a part to a writer")?;
            let pause = batch.pause_us.to_string();
            let words = ["write-part", "--part", json.as_str(), "--pause-us", &pause];
            let mut command = self.reexec.command(words);
            self.output.wire(&mut command, &[batch.stream]);
            writers.push(command.spawn().context("cannot start a writer")?);
        }
        for mut writer in writers {
            writer.wait().context("cannot wait for a writer")?;
        }
        let bytes: u64 = batch
            .parts
            .iter()
            .flat_map(|part| part.units())
            .map(|unit| unit.len() as u64)
            .sum();
        self.output.written(batch.stream, bytes, None);
        Ok(())
    }

    /// A child that keeps streams for so long, or until a gate is open.
    fn child(
        &self,
        streams: &[Stream],
        hold_ms: Option<u64>,
        until_gate: Option<&str>,
    ) -> Result<Command> {
        let mut command = self.reexec.command(["hold"]);
        for stream in streams {
            command.args(["--stream", stream.as_str()]);
        }
        if let Some(ms) = hold_ms {
            command.args(["--hold-ms", &ms.to_string()]);
        }
        if let Some(name) = until_gate {
            command.arg("--gate").arg(self.gate(name)?);
        }
        self.output.wire(&mut command, streams);
        command.stdin(Stdio::null());
        Ok(command)
    }
}
