//! Starting a task: its folder, its executor, and the first word of that: an edge.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User, geteuid};
use plugin::Status;
use plugin::failure::{plain, recoverable};
use plugin::proto::driver::TaskConfig;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::timeout;

use super::config::{Payload, Plan, Text, parse};
use super::fault::AnyFault;
use super::observer::{Misjudges, Observer};
use super::state::{Process, State};
use super::task::{
    STATUS, Task, be_present, boot, folder_of, presence_file, start_folder, task_folder,
};
use crate::executor::RecoveryFault;
use crate::executor::process::{began, watch};
use crate::executor::start::{Begun, Start};
use crate::faults::held_open;
use crate::reexec::Reexec;
use crate::script::Script;

/// How long an executor may take to its first word.
const FIRST_WORD: Duration = Duration::from_secs(50);
/// More than this is no first word.
const MAX_WORD_BYTES: usize = 64 * 1024;
/// What the executor says when it is not heard.
const EXECUTOR_LOG: &str = "executor.log";
/// The script that is played for commands within the task.
pub(super) const EXEC_SCRIPT: &str = "exec.json";

/// Refuses what this driver does for no task.
pub(super) fn check(config: &TaskConfig) -> Result<(), Status> {
    let refused = |why: String| Err(plain(why));
    if config.id.is_empty() {
        return refused("the task has no id".to_owned());
    }
    // The folder of the task has its name.
    if ["", ".", ".."].contains(&config.name.as_str()) || config.name.contains('/') {
        return refused(format!("name: {:?} is no name of a task", config.name));
    }
    let folder = task_folder(config);
    if !folder.is_absolute() || !folder.is_dir() {
        let folder = folder.display();
        return refused(format!(
            "alloc_dir: there is no folder {folder} for the task"
        ));
    }
    if !config.mounts.is_empty() || !config.devices.is_empty() {
        return refused("mounts, devices: this driver mounts nothing into a task".to_owned());
    }
    Ok(())
}

/// Refuses another user than this process's own, for a task that is forwarded.
fn check_user(config: &TaskConfig) -> Result<(), Status> {
    if config.user.is_empty() {
        return Ok(());
    }
    let own = User::from_uid(geteuid()).ok().flatten();
    if own.is_some_and(|own| own.name == config.user) {
        return Ok(());
    }
    let user = &config.user;
    Err(plain(format!("user: cannot run a task as {user}")))
}

/// Refuses a folder to begin in that is none.
pub(super) fn check_work_dir(plan: &Plan) -> Result<(), Status> {
    match &plan.work_dir {
        Some(folder) if !folder.is_dir() => {
            let folder = folder.display();
            Err(plain(format!("work_dir: there is no folder {folder}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Starts a task. Cancelled, it kills what it has started.
pub(super) async fn launch(
    config: TaskConfig,
    plan: Plan,
    fault: Option<AnyFault>,
    reexec: &Reexec,
) -> Result<Task, Status> {
    check_user(&config)?;
    check_work_dir(&plan)?;
    let made = Made::new(&config, &plan)?;
    let folder = made.folder.clone();
    let argv = argv(&config, &plan, &folder, reexec)?;
    let presence = be_present(&folder, fault)?;
    let recovering = fault.and_then(AnyFault::recovering);
    let away = recovering.and_then(RecoveryFault::away);
    let start = Start {
        argv,
        outputs: [&config.stdout_path, &config.stderr_path].map(PathBuf::from),
        status: folder.join(STATUS),
        fault: fault.and_then(AnyFault::forwarding),
        away: away.map(|away| (away, presence_file(&folder))),
        journal: config.env.get("HARNESS_DRIVER_JOURNAL").map(Into::into),
        hosted: true,
    };
    let begins_in = start_folder(&config, &plan);
    let mut executor = Unsettled::spawn(&start, &config, (&folder, &begins_in), reexec)?;
    let pid = executor.first_word().await?;
    // The executor cannot vanish: nobody has asked how it ended.
    let observed = |pid| {
        let end = watch(pid);
        let began = end.as_ref().and_then(|_| began(pid)).unwrap_or(0);
        (end, Process { pid, began })
    };
    let (executor_end, executor_process) = observed(executor.pid());
    let (task_end, task_process) = observed(pid);
    made.keep();
    let was_killed = Arc::new(AtomicBool::new(false));
    let leaks = recovering == Some(RecoveryFault::LeaksFdIntoNextTask);
    let observer = Observer {
        executor: executor_end,
        task: task_end,
        child: executor.settle(),
        held: held_open::for_the_next_task(leaks, Path::new(&config.stdout_path)),
        status: start.status,
        was_killed: Arc::clone(&was_killed),
        misjudges: Misjudges::of(recovering),
    };
    Ok(Task {
        config,
        plan,
        fault,
        state: State::new(boot(), executor_process, task_process, now_ms()),
        folder,
        progress: observer.observe(),
        was_killed,
        kept: None,
        _presence: presence,
    })
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// The environment of a task: its own and nothing else. What devices ask for wins.
pub(super) fn environment(config: &TaskConfig) -> BTreeMap<&str, &str> {
    let all = config.env.iter().chain(&config.device_env);
    all.map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// The folder of a task that is not started yet. It is gone with this.
pub(super) struct Made {
    pub(super) folder: PathBuf,
    is_kept: bool,
}

impl Made {
    /// Makes it, with the script that commands within the task play.
    pub(super) fn new(config: &TaskConfig, plan: &Plan) -> Result<Self, Status> {
        let folder = folder_of(config);
        // An id may have been used by a driver before this one.
        fs::remove_dir_all(&folder).ok();
        let made = fs::create_dir(&folder);
        made.map_err(|error| plain(format!("cannot make {}: {error}", folder.display())))?;
        let made = Self {
            folder,
            is_kept: false,
        };
        if let Some(script) = &plan.exec_command {
            write(&made.folder.join(EXEC_SCRIPT), &script.text)?;
        }
        Ok(made)
    }

    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed is not worth another error.
            fs::remove_dir_all(&self.folder).ok();
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Status> {
    fs::write(path, text)
        .map_err(|error| plain(format!("cannot write {}: {error}", path.display())))
}

/// The command line of the task.
fn argv(
    config: &TaskConfig,
    plan: &Plan,
    folder: &Path,
    reexec: &Reexec,
) -> Result<Vec<OsString>, Status> {
    let script = match &plan.payload {
        Payload::Command(argv) => return Ok(argv.iter().map(Into::into).collect()),
        Payload::Script(Text { text, name }) => {
            let path = folder.join(name);
            write(&path, text)?;
            path
        }
        Payload::ScriptFile(path) => {
            let path = task_folder(config).join(path);
            let read = fs::read_to_string(&path);
            let text = read.map_err(|error| {
                plain(format!("script: cannot read {}: {error}", path.display()))
            })?;
            let parsed = Script::parse(&text, &path);
            parsed.map_err(|error| plain(format!("script: {:#}", anyhow::Error::new(error))))?;
            path
        }
    };
    let gates = task_folder(config);
    let words: [OsString; 5] = [
        "task".into(),
        "--script".into(),
        script.into(),
        "--gates".into(),
        gates.into(),
    ];
    Ok(reexec.argv(words))
}

/// An executor that has not said yet how the start went. It is killed with its task when this is dropped.
struct Unsettled {
    child: Option<Child>,
    stdout: pipe::Receiver,
}

impl Unsettled {
    fn spawn(
        start: &Start,
        config: &TaskConfig,
        (folder, begins_in): (&Path, &Path),
        reexec: &Reexec,
    ) -> Result<Self, Status> {
        let failed = |error: io::Error| {
            let may_help = matches!(
                error.raw_os_error().map(Errno::from_raw),
                Some(Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE)
            );
            recoverable(&format!("cannot start an executor: {error}"), may_help)
        };
        // A host waits for the end of the plugin's output: nothing that lives on may hold it.
        let log = File::create(folder.join(EXECUTOR_LOG)).map_err(failed)?;
        let mut child = reexec
            .command(start.words())
            .env_clear()
            .envs(environment(config))
            .current_dir(begins_in)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let stdout: Option<OwnedFd> = child.stdout.take().map(Into::into);
        let stdout = stdout.ok_or_else(|| plain("the executor has no stdout"));
        let receiver = stdout.and_then(|fd| pipe::Receiver::from_owned_fd(fd).map_err(failed));
        match receiver {
            Ok(stdout) => Ok(Self {
                child: Some(child),
                stdout,
            }),
            Err(error) => {
                child.kill().ok();
                child.wait().ok();
                Err(error)
            }
        }
    }

    fn pid(&self) -> i32 {
        let id = self.child.as_ref().map(Child::id);
        id.and_then(|id| i32::try_from(id).ok()).unwrap_or(i32::MAX)
    }

    /// Gives the number of the task's process.
    async fn first_word(&mut self) -> Result<i32, Status> {
        let line = timeout(FIRST_WORD, self.line()).await;
        let line = line.map_err(|_| {
            plain(format!(
                "the task does not run {FIRST_WORD:?} after its start"
            ))
        })?;
        match Begun::parse(&line) {
            Some(Begun::Runs { pid }) => Ok(pid),
            Some(Begun::Refused(why)) => Err(plain(why)),
            None => Err(plain("the executor ended before it started the task")),
        }
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut buffer = [0; 4096];
        while !line.contains(&b'\n') && line.len() < MAX_WORD_BYTES {
            match self.stdout.read(&mut buffer).await {
                Ok(count @ 1..) => line.extend_from_slice(&buffer[..count]),
                Ok(0) | Err(_) => break,
            }
        }
        String::from_utf8_lossy(&line).into_owned()
    }

    /// The task runs: from now on somebody else has the executor.
    fn settle(mut self) -> Option<Child> {
        self.child.take()
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        let pid = self.pid();
        if let Some(mut child) = self.child.take() {
            killpg(Pid::from_raw(pid), Signal::SIGKILL).ok();
            std::thread::spawn(move || child.wait());
        }
    }
}

/// What a task's own script says beside what it plays.
pub(super) fn take_answers(config: &TaskConfig, plan: &mut Plan) {
    let script = match &plan.payload {
        Payload::Command(_) => return,
        Payload::Script(text) => parse(text).ok(),
        Payload::ScriptFile(path) => {
            let path = task_folder(config).join(path);
            let text = fs::read_to_string(&path).ok();
            text.and_then(|text| Script::parse(&text, &path).ok())
        }
    };
    let Some(answers) = script.map(|script| script.answers) else {
        return;
    };
    let is_recoverable = answers.start_error_recoverable == Some(true);
    let error = answers.start_error.map(|why| (why, is_recoverable));
    plan.start_error = plan.start_error.take().or(error);
    plan.exit_err_msg = plan.exit_err_msg.take().or(answers.exit_err_msg);
    plan.signal_error = plan.signal_error.take().or(answers.signal_error);
}
