//! `harness doctor`: is this machine fit, and what will be skipped. (edge)

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use super::console;
use super::refusal::Refusal;
use super::run::{default_jobs, reexec, scenarios};
use crate::capability::Capability;
use crate::outcome::Ending;
use crate::report;
use crate::runner;
use crate::suite::{self, Choice, Filter, Subject};

enum Answer {
    Fine(String),
    /// Something is missing that a few cases or figures need.
    Less(String),
    Unfit(String),
}

/// Prints what it finds. Unfit is exit code 75.
pub(super) fn doctor(out: &Path) -> Result<Ending, Refusal> {
    let answers = [
        ("named pipes", fifos(out)),
        ("pipe limits", pipe_limits()),
        ("/proc of children", proc_children()),
        ("/proc system calls", proc_syscall()),
        ("cores", cores()),
        ("user", user()),
        ("bash", program("bash", "the bash example driver")),
        ("python3", program("python3", "the Python example driver")),
        (
            "file systems",
            storage(Capability::StorageFaults, "fill it", &reexec()?),
        ),
        (
            "stalling storage",
            storage(Capability::StallingStorage, "stall it", &reexec()?),
        ),
        (
            "closed folders",
            machine(
                Capability::ClosedFolders,
                "a folder can be closed to whoever runs the suite",
                &reexec()?,
            ),
        ),
        (
            "file watches",
            machine(
                Capability::FileWatches,
                "there is an instance of inotify to spare",
                &reexec()?,
            ),
        ),
        (
            "descriptors",
            machine(
                Capability::ManyDescriptors,
                "a process may have enough for a thousand tasks",
                &reexec()?,
            ),
        ),
        ("cases", cases(&reexec()?)?),
    ];
    let mut ending = Ending::Conformant;
    for (name, answer) in &answers {
        let (word, text) = match answer {
            Answer::Fine(text) => ("ok", text),
            Answer::Less(text) => ("less", text),
            Answer::Unfit(text) => {
                ending = Ending::Unfit;
                ("UNFIT", text)
            }
        };
        let left = format!("{word:<6} {name:<19} ");
        console::say(&report::hanging(&left, text, 80));
    }
    console::say(if ending == Ending::Conformant {
        "this machine is fit\n"
    } else {
        "this machine is unfit; mend the lines marked UNFIT\n"
    });
    Ok(ending)
}

/// Whether a FIFO can be made and used where runs are written.
fn fifos(out: &Path) -> Answer {
    let place = out
        .ancestors()
        .find(|place| place.is_dir())
        .unwrap_or(Path::new("."));
    let unfit = |why: String| {
        Answer::Unfit(format!(
            "can't use a FIFO in {}: {why}; give another --out",
            place.display()
        ))
    };
    let folder = match tempfile::Builder::new()
        .prefix(".harness-doctor")
        .tempdir_in(place)
    {
        Ok(folder) => folder,
        Err(error) => return unfit(error.to_string()),
    };
    let path = folder.path().join("fifo");
    if let Err(error) = fifo::create(&path, 0o600) {
        return unfit(suite::error_chain(&error));
    }
    let reader = match fifo::Reader::open(&path) {
        Ok(reader) => reader,
        Err(error) => return unfit(suite::error_chain(&error)),
    };
    match reader.capacity() {
        Ok(bytes) if bytes < 65_536 => Answer::Less(format!(
            "a new pipe holds {bytes} B only: this user is past the soft limit on pipe pages"
        )),
        Ok(bytes) => Answer::Fine(format!("work here; a new pipe holds {bytes} B")),
        Err(error) => unfit(suite::error_chain(&error)),
    }
}

fn pipe_limits() -> Answer {
    let read = |name: &str| {
        fs::read_to_string(format!("/proc/sys/fs/{name}"))
            .map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned())
    };
    Answer::Fine(format!(
        "largest pipe {} B, soft limit per user {} pages, hard limit {} (0: none)",
        read("pipe-max-size"),
        read("pipe-user-pages-soft"),
        read("pipe-user-pages-hard")
    ))
}

fn proc_children() -> Answer {
    match fs::read_to_string("/proc/thread-self/children") {
        Ok(_) => Answer::Fine("can be listed".to_owned()),
        Err(error) => Answer::Unfit(format!(
            "can't read /proc/thread-self/children ({error}): processes that a subject leaves \
             behind would not be found"
        )),
    }
}

fn proc_syscall() -> Answer {
    match fs::read_to_string("/proc/self/syscall") {
        Ok(_) => Answer::Fine("can be read: a blocked writer is seen at once".to_owned()),
        Err(error) => Answer::Less(format!(
            "can't read /proc/PID/syscall ({error}): a blocked writer is recognised by a pipe \
             whose level stands still, and reports say less about hangs"
        )),
    }
}

fn cores() -> Answer {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Answer::Fine(format!(
        "{cores}; {} cases run side by side",
        default_jobs()
    ))
}

fn user() -> Answer {
    if nix::unistd::geteuid().is_root() {
        Answer::Fine("root: limits for unprivileged users are not felt".to_owned())
    } else {
        Answer::Fine("not root, and nothing needs it".to_owned())
    }
}

fn program(name: &str, needed_by: &str) -> Answer {
    let status = Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Answer::Fine("present".to_owned()),
        Ok(_) | Err(_) => Answer::Less(format!("not found: {needed_by} is left out of self-test")),
    }
}

/// Whether a case can have a file system of its own and do that to it.
fn storage(capability: Capability, use_of_it: &str, reexec: &[String]) -> Answer {
    match runner::machine_allows(capability, reexec) {
        Ok(()) => Answer::Fine(format!("a case may have one of its own, and {use_of_it}")),
        Err(why) => Answer::Less(format!(
            "a case can't have one of its own and {use_of_it}: failed to {why}; cases that need \
             {capability} are left out"
        )),
    }
}

/// Whether the machine allows what some cases need.
fn machine(capability: Capability, fine: &str, reexec: &[String]) -> Answer {
    match runner::machine_allows(capability, reexec) {
        Ok(()) => Answer::Fine(fine.to_owned()),
        Err(why) => Answer::Less(format!("{why}; cases that need {capability} are left out")),
    }
}

/// What is skipped for the bundled pair.
fn cases(reexec: &[String]) -> Result<Answer, Refusal> {
    let subject = Subject::bundled().on(&runner::machine_capabilities(reexec));
    let selected = suite::select(scenarios(&[])?, &subject, &Filter::default());
    let skipped: Vec<String> = selected
        .iter()
        .filter_map(|one| match &one.choice {
            Choice::Run => None,
            Choice::NotApplicable { why } | Choice::Filtered { why } => {
                Some(format!("{} ({why})", one.scenario.id))
            }
        })
        .collect();
    Ok(Answer::Fine(if skipped.is_empty() {
        format!("all {} apply to the bundled pair", selected.len())
    } else {
        format!(
            "{} of {} apply to the bundled pair; skipped: {}",
            selected.len() - skipped.len(),
            selected.len(),
            skipped.join(", ")
        )
    }))
}
