//! Capabilities: what is declared before anything runs. (core)
//!
//! Only a capability that is not declared can make a case not applicable; nothing that was
//! observed while a case was played can. The machine's own are looked for before the first case.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Something that not every subject can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// The driver copies the task's output itself, instead of handing the FIFO to the task.
    Forwards,
    /// Both streams go into stdout's FIFO, on purpose.
    Merged,
    /// SIGTERM sent to the driver stops the task.
    Signals,
    /// Several processes of a task may write at a time.
    MultiWriter,
    /// Log collection can be turned off by giving `/dev/null` for both FIFOs.
    NoLogCollection,
    /// A restarted driver takes its tasks over.
    Recover,
    /// The task can run as another user.
    UserChange,
    /// The driver refuses a path where no FIFO stands.
    ChecksPaths,
    /// The payload is run by its path on this host.
    PayloadExec,
    /// A stop ends whatever the task has started, wherever that went.
    Contains,
    /// While logmon is dead, somebody of its own holds the FIFOs' read ends.
    KeepsDescriptors,
    /// logmon can be told what to do when its disk is full: its template has `{on_full}`.
    DropPolicy,
    /// logmon can be told how large a file may be in bytes: its template has `{max_file_bytes}`.
    ByteLimits,
    /// One process of logmon serves many tasks: there are commands that give it one and take it away.
    ManyTasks,
    /// A running logmon can be asked to start once more what it collects: its template has `{start}`.
    StartAgain,
    /// This machine lets a process have descriptors for a thousand tasks.
    ManyDescriptors,
    /// This machine lets a case have a file system of its own, which can be full or read-only.
    StorageFaults,
    /// This machine lets a case have a file system that the suite serves, which can stall.
    StallingStorage,
    /// This machine lets the suite close a folder of a case's own file system to logmon.
    ClosedFolders,
    /// This machine has an instance of inotify(7) to spare.
    FileWatches,
}

/// Who declares a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Declarer {
    /// Whoever gives the driver's command.
    Driver,
    /// Whoever gives logmon's command.
    Logmon,
    /// The machine; the suite asks it.
    Machine,
}

impl Capability {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Forwards,
        Self::Merged,
        Self::Signals,
        Self::MultiWriter,
        Self::NoLogCollection,
        Self::Recover,
        Self::UserChange,
        Self::ChecksPaths,
        Self::PayloadExec,
        Self::Contains,
        Self::KeepsDescriptors,
        Self::DropPolicy,
        Self::ByteLimits,
        Self::ManyTasks,
        Self::StartAgain,
        Self::ManyDescriptors,
        Self::StorageFaults,
        Self::StallingStorage,
        Self::ClosedFolders,
        Self::FileWatches,
    ];

    /// The name used in command lines, scenarios and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forwards => "forwards",
            Self::Merged => "merged",
            Self::Signals => "signals",
            Self::MultiWriter => "multi-writer",
            Self::NoLogCollection => "no-log-collection",
            Self::Recover => "recover",
            Self::UserChange => "user-change",
            Self::ChecksPaths => "checks-paths",
            Self::PayloadExec => "payload.exec",
            Self::Contains => "contains",
            Self::KeepsDescriptors => "keeps-descriptors",
            Self::DropPolicy => "drop-policy",
            Self::ByteLimits => "byte-limits",
            Self::ManyTasks => "many-tasks",
            Self::StartAgain => "start-again",
            Self::ManyDescriptors => "many-descriptors",
            Self::StorageFaults => "storage-faults",
            Self::StallingStorage => "stalling-storage",
            Self::ClosedFolders => "closed-folders",
            Self::FileWatches => "file-watches",
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn declarer(self) -> Declarer {
        match self {
            Self::Forwards
            | Self::Merged
            | Self::Signals
            | Self::MultiWriter
            | Self::NoLogCollection
            | Self::Recover
            | Self::UserChange
            | Self::ChecksPaths
            | Self::PayloadExec
            | Self::Contains => Declarer::Driver,
            Self::KeepsDescriptors
            | Self::DropPolicy
            | Self::ByteLimits
            | Self::ManyTasks
            | Self::StartAgain => Declarer::Logmon,
            Self::ManyDescriptors
            | Self::StorageFaults
            | Self::StallingStorage
            | Self::ClosedFolders
            | Self::FileWatches => Declarer::Machine,
        }
    }

    /// Whether somebody has to say so. The others are found out; that a driver can recover it says itself, as
    /// only one that is spoken to can be asked to.
    #[must_use]
    pub fn is_declared_by_hand(self) -> bool {
        match self {
            Self::Forwards
            | Self::Merged
            | Self::Signals
            | Self::MultiWriter
            | Self::NoLogCollection
            | Self::UserChange
            | Self::ChecksPaths
            | Self::PayloadExec
            | Self::Contains
            | Self::KeepsDescriptors => true,
            Self::Recover
            | Self::DropPolicy
            | Self::ByteLimits
            | Self::ManyTasks
            | Self::StartAgain
            | Self::ManyDescriptors
            | Self::StorageFaults
            | Self::StallingStorage
            | Self::ClosedFolders
            | Self::FileWatches => false,
        }
    }

    /// What a command template can do with nothing declared.
    #[must_use]
    pub fn of_any_command() -> BTreeSet<Self> {
        BTreeSet::from([Self::Signals, Self::MultiWriter, Self::PayloadExec])
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no capability.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability `{name}`; known are {known}", name = .0, known = names(Capability::ALL))]
pub struct UnknownCapability(pub String);

/// Reads a capability as whoever gives a command may declare it.
///
/// # Errors
/// It is none, with those that are declared by hand.
pub fn declared(name: &str) -> Result<Capability, String> {
    name.parse().map_err(|UnknownCapability(name)| {
        let all = Capability::ALL.iter().copied();
        let by_hand: Vec<Capability> = all.filter(|one| one.is_declared_by_hand()).collect();
        let known = names(&by_hand);
        format!("unknown capability `{name}`; those that are declared by hand are {known}")
    })
}

fn names(capabilities: &[Capability]) -> String {
    let names: Vec<&str> = capabilities.iter().map(|one| one.as_str()).collect();
    names.join(", ")
}

impl FromStr for Capability {
    type Err = UnknownCapability;

    fn from_str(name: &str) -> Result<Self, UnknownCapability> {
        Self::ALL
            .iter()
            .copied()
            .find(|capability| capability.as_str() == name)
            .ok_or_else(|| UnknownCapability(name.to_owned()))
    }
}
