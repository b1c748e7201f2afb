//! The commands and the environment of the subjects. (core)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mock_driver::stream::Stream;

use super::limited::LIMITED_WORD;
use crate::adapter::Request;
use crate::case::{Case, CaseDir, log_name, many_log_name, many_name};
use crate::scenario::{FifoKind, Limits};
use crate::template::{self, TemplateError, Values};
use crate::trace::many::Order;

/// The null device, given instead of both FIFOs when log collection is off.
const NULL: &str = "/dev/null";

/// The number of a task that is started beside the others: the last one that a payload takes.
pub(super) const SECOND: u32 = 9_999;

/// A command with what is added to its environment.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) words: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
}

impl Invocation {
    /// The same with so many descriptors at most, set before the program begins.
    pub(super) fn limited(mut self, descriptors: Option<u64>, reexec: &[String]) -> Self {
        if let Some(descriptors) = descriptors {
            let mut words = reexec.to_vec();
            words.extend([LIMITED_WORD.into(), descriptors.to_string(), "--".into()]);
            words.append(&mut self.words);
            self.words = words;
        }
        self
    }
}

/// What goes before a command so that strace(1) writes down its system calls and those of all that it
/// starts. The program stays the child that it is without: the tracer is nobody's parent (`-D`), so
/// signals reach the program, and its end is its own.
const STRACE: [&str; 5] = ["strace", "-D", "-f", "-ttt", "-o"];

impl Invocation {
    /// The same with its system calls written to a file, if one is given.
    pub(super) fn traced(mut self, file: Option<&Path>) -> Self {
        if let Some(file) = file {
            let mut words: Vec<String> = STRACE.map(str::to_owned).into();
            words.extend([text(file), "--".into()]);
            words.append(&mut self.words);
            self.words = words;
        }
        self
    }
}

/// The driver's command for one generation.
pub(super) fn driver(
    case: &Case,
    dir: &CaseDir,
    script: &str,
    generation: u32,
) -> Result<Invocation, TemplateError> {
    let task = task(case, dir, script, generation);
    let single = of_generation(case, dir, script, generation);
    let mut env = environment(&single);
    env.insert("HARNESS_TASK".into(), quoted(&task));
    let words = template::expand(
        &with_self(&case.driver, &case.reexec),
        &Values { task, single },
    )?;
    Ok(Invocation { words, env })
}

/// The command of a driver that is spoken to.
pub(super) fn adapter(case: &Case, dir: &CaseDir) -> Result<Invocation, TemplateError> {
    let mut single = BTreeMap::from([("self", quoted(&case.reexec))]);
    let words = with_self(&case.driver, &case.reexec);
    let (task, known) = (Vec::new(), single.clone());
    let words = template::expand(
        &words,
        &Values {
            task,
            single: known,
        },
    )?;
    single.extend([
        ("task_dir", text(&dir.task())),
        ("id", case.scenario.id.clone()),
    ]);
    let env = environment(&single);
    Ok(Invocation { words, env })
}

/// The request that starts a generation of the task.
pub(super) fn start(case: &Case, dir: &CaseDir, script: &str, generation: u32) -> Request {
    let single = of_generation(case, dir, script, generation);
    let argv = match &case.instead_of_task {
        Some(program) => vec![program.clone()],
        None => task(case, dir, script, generation),
    };
    let value = |name: &str| single.get(name).cloned().unwrap_or_default();
    Request::Start {
        id: task_id(generation),
        argv,
        env: environment(&single),
        user: None,
        stdout: value("stdout"),
        stderr: value("stderr"),
        task_dir: value("task_dir"),
        log_dir: value("log_dir"),
    }
}

/// What a driver that is spoken to calls a generation of the task.
pub(super) fn task_id(generation: u32) -> String {
    format!("task-{generation}")
}

/// What a driver is told of one generation.
fn of_generation(
    case: &Case,
    dir: &CaseDir,
    script: &str,
    generation: u32,
) -> BTreeMap<&'static str, String> {
    let path = |stream| match case.scenario.host.fifos {
        FifoKind::Disabled => NULL.to_owned(),
        FifoKind::Present
        | FifoKind::Absent
        | FifoKind::PlainFile
        | FifoKind::Symlink
        | FifoKind::Folder
        | FifoKind::Socket => text(&fifo(dir, generation, stream)),
    };
    let [journal, driver_journal] = journals(dir, generation);
    BTreeMap::from([
        ("stdout", path(Stream::Stdout)),
        ("stderr", path(Stream::Stderr)),
        ("script", text(&dir.script(script))),
        ("task_dir", text(&dir.task())),
        ("log_dir", text(&dir.log())),
        ("id", case.scenario.id.clone()),
        ("journal", text(&journal)),
        ("driver_journal", text(&driver_journal)),
        ("gates", text(&dir.gates())),
        ("run", case.run.clone()),
        ("generation", generation.to_string()),
        ("self", quoted(&case.reexec)),
    ])
}

fn fifo(dir: &CaseDir, generation: u32, stream: Stream) -> PathBuf {
    if generation == SECOND {
        return dir.second_fifo(stream);
    }
    dir.fifo(stream)
}

/// The journal of the payload, and the one that the driver may write.
fn journals(dir: &CaseDir, generation: u32) -> [PathBuf; 2] {
    if generation == SECOND {
        return dir.second_journals();
    }
    [dir.task_journal(generation), dir.driver_journal(generation)]
}

/// Which start of a logmon a command is, for those that can be asked for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It starts the process.
    First,
    /// It asks the running one.
    Again,
}

impl Start {
    fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Again => "again",
        }
    }
}

/// logmon's command.
pub(super) fn logmon(
    case: &Case,
    dir: &CaseDir,
    limits: &Limits,
    start: Start,
) -> Result<Invocation, TemplateError> {
    let single = BTreeMap::from([
        ("start", start.as_str().to_owned()),
        ("log_dir", text(&dir.log())),
        ("stdout_fifo", text(&dir.fifo(Stream::Stdout))),
        ("stdout_name", log_name(Stream::Stdout)),
        ("stderr_fifo", text(&dir.fifo(Stream::Stderr))),
        ("stderr_name", log_name(Stream::Stderr)),
        ("max_files", limits.max_files_text()),
        ("max_file_bytes", limits.max_file_bytes_text()),
        ("max_file_mb", limits.max_file_megabytes_text()),
        ("line_guard", limits.line_guard.0.to_string()),
        ("on_full", limits.on_full.as_str().to_owned()),
        ("task_dir", text(&dir.task())),
        ("keep_dir", text(&dir.keep())),
        ("id", case.scenario.id.clone()),
        ("self", quoted(&case.reexec)),
    ]);
    let env = environment(&single);
    let words = with_self(&case.logmon, &case.reexec);
    let words = template::expand(
        &words,
        &Values {
            task: Vec::new(),
            single,
        },
    )?;
    Ok(Invocation { words, env })
}

/// The command of a logmon that is to serve many tasks.
pub(super) fn serve(case: &Case, dir: &CaseDir) -> Result<Invocation, TemplateError> {
    let single = BTreeMap::from([
        ("control", text(&dir.control())),
        ("keep_dir", text(&dir.keep())),
        ("id", case.scenario.id.clone()),
        ("self", quoted(&case.reexec)),
    ]);
    let words = case.serving.as_ref().map(|serving| &serving.serve);
    single_values(words, case, single)
}

/// The command that gives a task to such a logmon, or takes it away.
pub(super) fn about_task(
    case: &Case,
    dir: &CaseDir,
    order: Order,
    task: u32,
) -> Result<Invocation, TemplateError> {
    let mut single = BTreeMap::from([
        ("control", text(&dir.control())),
        ("task_id", many_name(task)),
        ("id", case.scenario.id.clone()),
        ("self", quoted(&case.reexec)),
    ]);
    let words = case.serving.as_ref().map(|serving| match order {
        Order::Start => &serving.start,
        Order::Stop => &serving.stop,
    });
    if order == Order::Start {
        let limits = &case.scenario.limits;
        single.extend([
            ("log_dir", text(&dir.many(task))),
            ("stdout_fifo", text(&dir.many_fifo(task, Stream::Stdout))),
            ("stdout_name", many_log_name(task, Stream::Stdout)),
            ("stderr_fifo", text(&dir.many_fifo(task, Stream::Stderr))),
            ("stderr_name", many_log_name(task, Stream::Stderr)),
            ("max_files", limits.max_files_text()),
            ("max_file_bytes", limits.max_file_bytes_text()),
            ("line_guard", limits.line_guard.0.to_string()),
            ("on_full", limits.on_full.as_str().to_owned()),
        ]);
    }
    single_values(words, case, single)
}

/// A template without a task's command, filled in. A subject that has none can't be played.
fn single_values(
    words: Option<&Vec<String>>,
    case: &Case,
    single: BTreeMap<&'static str, String>,
) -> Result<Invocation, TemplateError> {
    let words = with_self(words.map_or(&[], Vec::as_slice), &case.reexec);
    let env = environment(&single);
    let task = Vec::new();
    let words = template::expand(&words, &Values { task, single })?;
    Ok(Invocation { words, env })
}

fn task(case: &Case, dir: &CaseDir, script: &str, generation: u32) -> Vec<String> {
    let mut words = case.reexec.clone();
    let [journal, _] = journals(dir, generation);
    let arguments = [
        ("--script", text(&dir.script(script))),
        ("--run", case.run.clone()),
        ("--generation", generation.to_string()),
        ("--journal", text(&journal)),
        ("--gates", text(&dir.gates())),
    ];
    words.push("task".into());
    for (flag, value) in arguments {
        words.extend([flag.to_owned(), value]);
    }
    words
}

/// A word that is exactly `{self}` becomes all the words that start this program.
fn with_self(words: &[String], reexec: &[String]) -> Vec<String> {
    let each = |word: &String| {
        if word == "{self}" {
            reexec.to_vec()
        } else {
            vec![word.clone()]
        }
    };
    words.iter().flat_map(each).collect()
}

/// The same values as in the template, as `HARNESS_NAME`.
fn environment(single: &BTreeMap<&'static str, String>) -> BTreeMap<String, String> {
    let variable = |(name, value): (&&str, &String)| {
        (format!("HARNESS_{}", name.to_uppercase()), value.clone())
    };
    single.iter().map(variable).collect()
}

fn quoted(words: &[String]) -> String {
    shell_words::join(words)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
