//! One task of the driver: what it is, how it is, and what is told of it: an edge.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use ::executor::kept::KeptTask;
use plugin::failure::plain;
use plugin::proto::driver::{
    ExitResult, InspectTaskResponse, TaskConfig, TaskDriverStatus, TaskHandle, TaskState,
    TaskStatus, WaitTaskResponse,
};
use plugin::proto::{NO_TIME, Timestamp};
use plugin::{Response, Status};

use super::config::Plan;
use super::fault::AnyFault;
use super::observer::{Ended, Misjudges, Observer, Progress};
use super::state::{Process, State};
use crate::executor::RecoveryFault;
use crate::executor::process::{began, child_of, watch};
use crate::fault::{Policy, Stop};

/// The version of a handle as a whole; the state in it has its own.
const HANDLE_VERSION: i32 = 1;

/// A task that is not destroyed.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) config: TaskConfig,
    pub(super) plan: Plan,
    pub(super) fault: Option<AnyFault>,
    pub(super) state: State,
    pub(super) folder: PathBuf,
    pub(super) progress: Progress,
    /// Whether this driver has killed the executor.
    pub(super) was_killed: Arc<AtomicBool>,
    /// A command that the executor runs; none of a task that this driver forwards.
    pub(super) kept: Option<KeptTask>,
    /// Locked while the driver is there, where a fault of the executor depends on that.
    pub(super) _presence: Option<File>,
}

impl Task {
    /// Finds a task again by what a driver before has left.
    pub(super) fn find(
        config: TaskConfig,
        plan: Plan,
        fault: Option<AnyFault>,
        state: State,
    ) -> Result<Self, Status> {
        let folder = folder_of(&config);
        let is_this_run = boot() == state.boot;
        let find = |process: Process| {
            watch(process.pid).filter(|_| is_this_run && began(process.pid) == Some(process.began))
        };
        let (executor, main) = (find(state.executor), find(state.task));
        let status = folder.join(STATUS);
        if executor.is_none() && !status.exists() {
            return Err(plain(
                "cannot recover the task: its executor is gone and left no status",
            ));
        }
        let was_ended = executor.is_none() || child_of(state.executor.pid).is_none();
        let recovering = fault.and_then(AnyFault::recovering);
        let presence = be_present(&folder, fault)?;
        let was_killed = Arc::new(AtomicBool::new(false));
        let observer = Observer {
            executor,
            task: main,
            child: None,
            held: Vec::new(),
            status,
            was_killed: Arc::clone(&was_killed),
            misjudges: match recovering {
                Some(RecoveryFault::GuessesSuccess) if was_ended => Misjudges::AnyEnd,
                recovering => Misjudges::of(recovering),
            },
        };
        Ok(Self {
            config,
            plan,
            fault,
            state,
            folder,
            progress: observer.observe(),
            was_killed,
            kept: None,
            _presence: presence,
        })
    }

    /// What the host keeps.
    pub(super) fn handle(&self) -> TaskHandle {
        TaskHandle {
            version: HANDLE_VERSION,
            config: Some(self.config.clone()),
            state: self.state_now().into(),
            driver_state: self.state.encode(),
        }
    }

    pub(super) fn runs(&self) -> bool {
        self.progress.end_now().is_none()
    }

    /// An error for who wants something from a task that has ended.
    pub(super) fn must_run(&self) -> Result<(), Status> {
        if self.runs() && !*self.progress.is_gone.borrow() {
            return Ok(());
        }
        Err(plain(format!("task {:?} has ended", self.config.id)))
    }

    pub(super) fn started(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.state.started_ms)
    }

    /// What a driver that is deaf, or forgets, does with a stop.
    pub(super) fn stop_policy(&self) -> Stop {
        Policy::of(self.fault.and_then(AnyFault::forwarding)).stop
    }

    fn state_now(&self) -> TaskState {
        if self.runs() {
            TaskState::Running
        } else {
            TaskState::Exited
        }
    }

    /// What a waiter is told.
    pub(super) async fn wait(&self) -> Response<WaitTaskResponse> {
        let end = self.progress.end().await;
        let own = self.plan.exit_err_msg.clone().unwrap_or_default();
        Response::new(WaitTaskResponse {
            result: Some(result_of(&end)),
            err: if end.err.is_empty() { own } else { end.err },
        })
    }

    /// How the task is. Whatever the original host takes for granted is set, while the task runs, too.
    pub(super) fn inspect(&self) -> InspectTaskResponse {
        let end = self.progress.end_now();
        let attributes = BTreeMap::from([
            (
                "executor_pid".to_owned(),
                self.state.executor.pid.to_string(),
            ),
            ("pid".to_owned(), self.state.task.pid.to_string()),
        ]);
        InspectTaskResponse {
            task: Some(TaskStatus {
                id: self.config.id.clone(),
                name: self.config.name.clone(),
                state: self.state_now().into(),
                started_at: Some(timestamp(self.started())),
                completed_at: Some(end.as_ref().map_or(NO_TIME, |end| timestamp(end.at))),
                result: Some(end.as_ref().map(result_of).unwrap_or_default()),
            }),
            driver: Some(TaskDriverStatus { attributes }),
            network_override: self.plan.network.clone(),
        }
    }
}

fn result_of(end: &Ended) -> ExitResult {
    ExitResult {
        exit_code: end.code,
        signal: end.signal,
        oom_killed: end.oom_killed,
    }
}

/// The file with the status, in the folder of the driver's own for the task.
pub(super) const STATUS: &str = "status.json";
/// The file that is locked while the driver is there.
const PRESENCE: &str = "driver";
/// Longer parts of an id are cut: a file's name has at most 255 bytes.
const MAX_ID_CHARS: usize = 100;

/// The task's own folder.
pub(super) fn task_folder(config: &TaskConfig) -> PathBuf {
    Path::new(&config.alloc_dir).join(&config.name)
}

/// The folder that the task begins in.
pub(super) fn start_folder(config: &TaskConfig, plan: &Plan) -> PathBuf {
    plan.work_dir.clone().unwrap_or_else(|| task_folder(config))
}

/// The folder with the driver's own files for a task. No two ids have the same.
pub(super) fn folder_of(config: &TaskConfig) -> PathBuf {
    let id: Vec<char> = config.id.chars().collect();
    let readable: String = id[id.len().saturating_sub(MAX_ID_CHARS)..]
        .iter()
        .map(|c| {
            if c.is_ascii_alphanumeric() || *c == '-' {
                *c
            } else {
                '_'
            }
        })
        .collect();
    let hash = crc32fast::hash(config.id.as_bytes());
    task_folder(config).join(format!(".mock_driver-{readable}-{hash:08x}"))
}

pub(super) fn presence_file(folder: &Path) -> PathBuf {
    folder.join(PRESENCE)
}

/// Locks a task's presence file, where a fault needs it.
pub(super) fn be_present(folder: &Path, fault: Option<AnyFault>) -> Result<Option<File>, Status> {
    let away = fault
        .and_then(AnyFault::recovering)
        .and_then(|fault| fault.away());
    if away.is_none() {
        return Ok(None);
    }
    let file = File::create(presence_file(folder)).and_then(|file| file.lock().map(|()| file));
    file.map(Some)
        .map_err(|error| plain(format!("cannot lock a file of the task: {error}")))
}

/// Which run of the machine this is; empty where the kernel does not tell.
pub(super) fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// A time as a message has it.
pub(super) fn timestamp(at: SystemTime) -> Timestamp {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    }
}
