//! Core: what can go wrong in logmon; one variant per operation, and each owns its exit code.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use fifo::FolderError;
use nix::errno::Errno;

use crate::collect::Fault;
use crate::exit::Exit;
use crate::keeper::KeeperError;
use crate::limits::LimitError;
use crate::name::{NameError, TaskId};
use crate::supervise::SuperviseError;

/// What failed, on which path or option, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A limit on the command line is refused.
    #[error("option --{option}: refused limit")]
    Limit {
        /// The option without dashes.
        option: &'static str,
        /// Why.
        source: LimitError,
    },
    /// A stream's name is refused.
    #[error("option --{option}: refused name")]
    Name {
        /// The option without dashes.
        option: &'static str,
        /// Why.
        source: NameError,
    },
    /// A stream is not written as FIFO=NAME.
    #[error("option --{option}: {text:?} is not FIFO=NAME, such as /run/demo/stdout=demo.stdout")]
    Stream {
        /// The option without dashes.
        option: &'static str,
        /// What was given.
        text: String,
    },
    /// The mode is not octal, has other bits than permissions, or lets everybody read.
    #[error(
        "option --fifo-mode: {text:?} is not an octal mode such as 0600 that keeps others from reading"
    )]
    FifoMode {
        /// What was given.
        text: String,
    },
    /// The owner is not written as chown(1) takes it.
    #[error(
        "option --fifo-owner: {text:?} is not USER, USER:GROUP or :GROUP, such as app:app or :1000"
    )]
    FifoOwner {
        /// What was given.
        text: String,
    },
    /// There is no such user or group.
    #[error("option --fifo-owner: there is no {kind} {name:?}; name another one, or give a number")]
    NoPrincipal {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A user or a group could not be looked up.
    #[error("option --fifo-owner: can't look up the {kind} {name:?}; a number needs no look-up")]
    LookUp {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The error of `getpwnam_r(3)` or `getgrnam_r(3)`, or of reading `/etc/passwd` or `/etc/group`.
        source: io::Error,
    },
    /// The new FIFO could not be given to its owner, and is gone again.
    #[error(
        "option --fifo-owner: only root can give a FIFO to another user, and others only to a group of \
         theirs"
    )]
    CantGiveAway {
        /// Which FIFO, and the error of `fchownat(2)`.
        source: fifo::Error,
    },
    /// Both streams have the same name.
    #[error("options --stdout and --stderr: both have the name {name:?}; give each its own")]
    SameName {
        /// The name.
        name: String,
    },
    /// Both streams have the same FIFO.
    #[error("options --stdout and --stderr: both read {path}; give each its own FIFO")]
    SameFifo {
        /// The path.
        path: PathBuf,
    },
    /// A running stream was started again with other settings.
    #[error(
        "stream {name} runs with another {what}; stop it first, only limits change while it runs"
    )]
    OtherSettings {
        /// The stream's name.
        name: String,
        /// What is different.
        what: &'static str,
    },
    /// A FIFO could not be made, opened or read.
    #[error("can't use the FIFO")]
    Fifo(#[from] fifo::Error),
    /// The pipe behind a FIFO could not be made or asked.
    #[error("can't use a pipe behind the FIFO {path}")]
    Staging {
        /// The path of the FIFO.
        path: PathBuf,
        /// The error of `pipe2(2)` or of an ioctl.
        source: io::Error,
    },
    /// Another process holds the lock of the FIFO.
    #[error("another logmon reads {path}; stop it first, or give this one a FIFO of its own")]
    FifoHeld {
        /// The path of the FIFO.
        path: PathBuf,
    },
    /// Another process holds the lock of the current log file.
    #[error("another logmon writes {path}; stop it first, or give this one another name or folder")]
    LogFileHeld {
        /// The path of the log file.
        path: PathBuf,
    },
    /// The log folder could not be opened.
    #[error("can't open the log folder {path}; it must be an existing folder and no symbolic link")]
    OpenLogDir {
        /// The path of the folder.
        path: PathBuf,
        /// Which part of the path, and why.
        source: FolderError,
    },
    /// The log folder could not be listed.
    #[error("can't list the log folder {path}")]
    ListLogDir {
        /// The path of the folder.
        path: PathBuf,
        /// The error of `readdir(3)` or `fstatat(2)`.
        source: io::Error,
    },
    /// A log file could not be opened.
    #[error("can't open the log file {path}")]
    OpenLogFile {
        /// The path of the file.
        path: PathBuf,
        /// The error of `openat(2)`, `fstat(2)`, `flock(2)` or `pread(2)`.
        source: io::Error,
    },
    /// A new log file could not be made.
    #[error("can't make a log file in {path}")]
    PrepareLogFile {
        /// The path of the folder.
        path: PathBuf,
        /// The error of `openat(2)` or `flock(2)`.
        source: io::Error,
    },
    /// A new log file could not be given its name.
    #[error("can't make the log file {path}")]
    PublishLogFile {
        /// The path of the file.
        path: PathBuf,
        /// The error of `linkat(2)`, `openat(2)` or `flock(2)`.
        source: io::Error,
    },
    /// An old log file could not be deleted.
    #[error("can't delete the log file {path}")]
    DeleteLogFile {
        /// The path of the file.
        path: PathBuf,
        /// The error of `unlinkat(2)`.
        source: io::Error,
    },
    /// Bytes could not be written.
    #[error("can't write to the log file {path}")]
    WriteLogFile {
        /// The path of the file.
        path: PathBuf,
        /// The error of `write(2)`.
        source: io::Error,
    },
    /// What was lost could not be recorded.
    #[error("can't record in {path} what was lost")]
    RecordLoss {
        /// The path of the file.
        path: PathBuf,
        /// The error of `openat(2)`, `renameat(2)` or `write(2)`, or what is in the way.
        source: io::Error,
    },
    /// All indices of log files are used.
    #[error("no index is left in {path}; move the file with the highest index away")]
    NoIndexLeft {
        /// The path of the folder.
        path: PathBuf,
    },
    /// There are no descriptors for another task.
    #[error(
        "no descriptors for this task: it needs up to {need}, {reserve} are kept for the tasks that \
         run, and this process may have {limit}; raise its RLIMIT_NOFILE (ulimit -n, LimitNOFILE=)"
    )]
    Descriptors {
        /// The soft limit.
        limit: u64,
        /// How many the task needs at most.
        need: usize,
        /// How many are kept.
        reserve: usize,
        /// EMFILE, or ENFILE when the whole system has none.
        source: Errno,
    },
    /// There is no such task.
    #[error("there is no task {task}")]
    NoTask {
        /// The task.
        task: TaskId,
    },
    /// The task, or the whole server, stops.
    #[error("task {task} stops, or this logmon does; ask again when it has ended")]
    TaskStops {
        /// The task.
        task: TaskId,
    },
    /// The task is being started, and its storage has not answered yet.
    #[error("task {task} is still being started; its storage does not answer")]
    TaskStarts {
        /// The task.
        task: TaskId,
    },
    /// Another task of the same server writes these files.
    #[error("task {task} writes files of the name {name} in the same folder; give each its own")]
    FilesOfOther {
        /// The stream's name.
        name: String,
        /// The other task.
        task: TaskId,
    },
    /// Others could replace the socket.
    #[error("refused socket {path}: {what}")]
    ControlFolder {
        /// The path of the socket.
        path: PathBuf,
        /// Why.
        what: &'static str,
    },
    /// Something else has the name of the socket or of its lock file.
    #[error("{path} is in the way: it is no socket or lock file of this user; move it away")]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// Another server holds the lock of the socket.
    #[error("another logmon serves {path}; stop it first, or give this one another socket")]
    ServerRunning {
        /// The path of the socket.
        path: PathBuf,
    },
    /// A system call on the socket failed.
    #[error("can't {operation} the socket {path}")]
    Control {
        /// The path of the socket.
        path: PathBuf,
        /// What failed.
        operation: &'static str,
        /// The error of `openat(2)`, `flock(2)`, `unlinkat(2)` or `bind(2)`.
        source: io::Error,
    },
    /// The address for metrics can't be used.
    #[error("can't listen at {address}")]
    MetricsAddress {
        /// The address.
        address: SocketAddr,
        /// The error of `bind(2)` or `listen(2)`.
        source: io::Error,
    },
    /// Nobody answers at the control socket.
    #[error("no logmon answers at {path}; is `logmon serve` running there?")]
    Unreachable {
        /// The path of the socket.
        path: PathBuf,
        /// The error of `connect(2)`, or of the conversation.
        source: io::Error,
    },
    /// A path cannot be sent, because it is not UTF-8.
    #[error("option --{option}: {path:?} is not UTF-8, so it can't be sent to the control socket")]
    NotUtf8 {
        /// The option without dashes.
        option: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The runtime could not be started.
    #[error("can't start the runtime")]
    Runtime {
        /// The error of epoll or of the runtime.
        source: io::Error,
    },
    /// A signal could not be listened for.
    #[error("can't listen for signals")]
    Signals {
        /// The error of `sigaction(2)`.
        source: io::Error,
    },
    /// The descriptors could not be kept.
    #[error("can't have the streams kept")]
    Keeper(#[from] KeeperError),
    /// The supervisor could not go on.
    #[error("can't supervise")]
    Supervise(#[from] SuperviseError),
    /// A call to a stream's file system does not return.
    #[error(
        "stop the stream {name} in time: the storage of {} does not answer; what is not written stays in the FIFO and at the keeper, and without a keeper what was on its way is lost",
        path.display()
    )]
    StorageStuck {
        /// The stream's name.
        name: String,
        /// The log folder.
        path: PathBuf,
    },
    /// A start ended by a panic.
    #[error("the start ended by a bug of logmon; please report it")]
    StartDied,
    /// A call to a log folder's file system does not return.
    #[error("start in time: the storage of {} does not answer; the start goes on", path.display())]
    StartStuck {
        /// The log folder.
        path: PathBuf,
    },
    /// The task of a stream ended by a panic.
    #[error("the stream {name} ended by a bug of logmon; please report it")]
    StreamDied {
        /// The stream's name.
        name: String,
    },
}

impl Error {
    /// Gives the exit code of this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Error::Limit { .. }
            | Error::Name { .. }
            | Error::Stream { .. }
            | Error::FifoMode { .. }
            | Error::FifoOwner { .. }
            | Error::NoPrincipal { .. }
            | Error::CantGiveAway { .. }
            | Error::SameName { .. }
            | Error::SameFifo { .. }
            | Error::OtherSettings { .. }
            | Error::NoTask { .. }
            | Error::FilesOfOther { .. }
            | Error::NotUtf8 { .. } => Exit::Config,
            Error::Fifo(source) if source.is_transient() => Exit::System,
            Error::Fifo(_)
            | Error::NoIndexLeft { .. }
            | Error::ControlFolder { .. }
            | Error::NoSocket { .. } => Exit::Path,
            Error::OpenLogDir { source, .. } => {
                if source.io_error().is_some_and(is_transient) {
                    Exit::System
                } else {
                    Exit::Path
                }
            }
            Error::ListLogDir { source, .. }
            | Error::OpenLogFile { source, .. }
            | Error::PrepareLogFile { source, .. }
            | Error::PublishLogFile { source, .. }
            | Error::DeleteLogFile { source, .. }
            | Error::WriteLogFile { source, .. }
            | Error::RecordLoss { source, .. }
            | Error::Control { source, .. } => {
                if is_transient(source) {
                    Exit::System
                } else {
                    Exit::Path
                }
            }
            Error::FifoHeld { .. }
            | Error::LogFileHeld { .. }
            | Error::TaskStarts { .. }
            | Error::TaskStops { .. }
            | Error::ServerRunning { .. } => Exit::Busy,
            Error::Unreachable { .. } => Exit::Unavailable,
            Error::Staging { .. }
            | Error::LookUp { .. }
            | Error::Runtime { .. }
            | Error::Signals { .. }
            | Error::Descriptors { .. }
            | Error::StorageStuck { .. }
            | Error::StartStuck { .. }
            | Error::MetricsAddress { .. } => Exit::System,
            Error::Keeper(source) => source.exit(),
            Error::Supervise(source) => source.exit(),
            Error::StartDied | Error::StreamDied { .. } => Exit::Bug,
        }
    }

    /// Tells why a step on the log folder failed.
    pub(crate) fn fault(&self) -> Fault {
        let cause = std::error::Error::source(self).and_then(|source| source.downcast_ref());
        Fault::of_errno(cause.and_then(io::Error::raw_os_error))
    }

    /// True when a retry may work although the configuration stays as it is: the disk is full, the
    /// device fails, the file system is read-only, descriptors or memory are short.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Fifo(source) => source.is_transient(),
            Error::OpenLogDir { source, .. } => source.io_error().is_some_and(is_transient),
            Error::ListLogDir { source, .. }
            | Error::OpenLogFile { source, .. }
            | Error::PrepareLogFile { source, .. }
            | Error::PublishLogFile { source, .. }
            | Error::DeleteLogFile { source, .. }
            | Error::WriteLogFile { source, .. }
            | Error::RecordLoss { source, .. }
            | Error::Staging { source, .. }
            | Error::LookUp { source, .. }
            | Error::Control { source, .. }
            | Error::Runtime { source }
            | Error::Signals { source } => is_transient(source),
            Error::Descriptors { .. } | Error::TaskStarts { .. } | Error::TaskStops { .. } => true,
            Error::Limit { .. }
            | Error::Name { .. }
            | Error::Stream { .. }
            | Error::FifoMode { .. }
            | Error::FifoOwner { .. }
            | Error::NoPrincipal { .. }
            | Error::CantGiveAway { .. }
            | Error::SameName { .. }
            | Error::SameFifo { .. }
            | Error::OtherSettings { .. }
            | Error::FifoHeld { .. }
            | Error::LogFileHeld { .. }
            | Error::NoIndexLeft { .. }
            | Error::Keeper(_)
            | Error::Supervise(_)
            | Error::NoTask { .. }
            | Error::FilesOfOther { .. }
            | Error::NotUtf8 { .. }
            | Error::ControlFolder { .. }
            | Error::NoSocket { .. }
            | Error::ServerRunning { .. }
            | Error::MetricsAddress { .. }
            | Error::Unreachable { .. }
            | Error::StorageStuck { .. }
            | Error::StartDied
            | Error::StartStuck { .. }
            | Error::StreamDied { .. } => false,
        }
    }
}

/// True when the system may not give this error the next time.
pub(crate) fn is_transient(source: &io::Error) -> bool {
    use nix::libc;
    matches!(
        source.raw_os_error(),
        Some(
            libc::ENOSPC
                | libc::EDQUOT
                | libc::EIO
                | libc::EROFS
                | libc::EFBIG
                | libc::EMFILE
                | libc::ENFILE
                | libc::ENOMEM
                | libc::EAGAIN
                | libc::EINTR
        )
    )
}

/// The error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
