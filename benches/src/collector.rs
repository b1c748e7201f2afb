//! Core: the collectors that can be measured, and how each is started.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// A program that reads a pipe and keeps it in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Collector {
    /// The logmon of this project.
    Logmon,
    /// Our ruler: plain read and write, whole lines. The base of the ratios.
    ReadWrite,
    /// Our ruler: the staged splice. The limit.
    StagedSplice,
    /// Our ruler: read and discard.
    Discard,
    /// s6-log of s6.
    #[value(name = "s6-log")]
    S6Log,
    /// svlogd of runit.
    Svlogd,
    /// multilog of daemontools.
    Multilog,
    /// rotatelogs of Apache.
    Rotatelogs,
    /// cronolog, which rotates by time only: here it never rotates.
    Cronolog,
}

/// How a collector gets the pipe, and learns that it is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// It opens the FIFO itself, says `ready`, and ends by SIGTERM.
    OpensFifo,
    /// It reads its stdin until the last writer has left.
    Stdin,
    /// It opens the FIFO itself and reads until the last writer has left.
    UntilEnd,
}

/// Where a collector reads and writes, and how its files are rotated.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The FIFO.
    pub fifo: &'a Path,
    /// The folder of the log files.
    pub log_dir: &'a Path,
    /// The largest size of a file, in bytes.
    pub max_file_bytes: u64,
    /// The largest number of files.
    pub max_files: u32,
}

/// A command line: the program and its arguments.
pub type Argv = Vec<String>;

impl Collector {
    /// The peers: programs of others.
    pub const PEERS: [Collector; 5] = [
        Collector::S6Log,
        Collector::Svlogd,
        Collector::Multilog,
        Collector::Rotatelogs,
        Collector::Cronolog,
    ];

    /// How it gets the pipe.
    #[must_use]
    pub fn face(self) -> Face {
        match self {
            Collector::Logmon => Face::OpensFifo,
            Collector::ReadWrite | Collector::StagedSplice | Collector::Discard => Face::UntilEnd,
            Collector::S6Log
            | Collector::Svlogd
            | Collector::Multilog
            | Collector::Rotatelogs
            | Collector::Cronolog => Face::Stdin,
        }
    }

    /// The exit code after it has read to the end and kept all.
    #[must_use]
    pub fn end_code(self) -> i32 {
        match self {
            // The end of its input is all that ever ends it.
            Collector::Cronolog => 3,
            Collector::Logmon
            | Collector::ReadWrite
            | Collector::StagedSplice
            | Collector::Discard
            | Collector::S6Log
            | Collector::Svlogd
            | Collector::Multilog
            | Collector::Rotatelogs => 0,
        }
    }

    /// Says whether it keeps what it reads.
    #[must_use]
    pub fn keeps_the_log(self) -> bool {
        self != Collector::Discard
    }

    /// Says whether its files are numbered, hold whole lines and are as large as whole lines can be
    /// under the limit, so that nothing can be missing from files that were deleted.
    #[must_use]
    pub fn has_exact_files(self) -> bool {
        matches!(
            self,
            Collector::Logmon | Collector::ReadWrite | Collector::StagedSplice
        )
    }

    /// The program to look for; none for those that this program is itself.
    #[must_use]
    pub fn program(self) -> Option<&'static str> {
        match self {
            Collector::Logmon
            | Collector::ReadWrite
            | Collector::StagedSplice
            | Collector::Discard => None,
            Collector::S6Log => Some("s6-log"),
            Collector::Svlogd => Some("svlogd"),
            Collector::Multilog => Some("multilog"),
            Collector::Rotatelogs => Some("rotatelogs"),
            Collector::Cronolog => Some("cronolog"),
        }
    }

    /// The file that must lie in the log folder before it starts, and its content.
    #[must_use]
    pub fn configuration(self, task: &Task<'_>) -> Option<(PathBuf, String)> {
        // svlogd takes its limits from a file; it counts the current file among the kept ones.
        (self == Collector::Svlogd).then(|| {
            (
                task.log_dir.join("config"),
                format!("s{}\nn{}\n", task.max_file_bytes, task.max_files),
            )
        })
    }

    /// Its command line. `own` starts this program, `logmon` the logmon under measure.
    #[must_use]
    pub fn argv(self, task: &Task<'_>, own: &[String], logmon: &[String]) -> Argv {
        let dir = task.log_dir.display().to_string();
        let fifo = task.fifo.display().to_string();
        let (size, files) = (task.max_file_bytes.to_string(), task.max_files.to_string());
        let words = |words: &[&str]| -> Argv { words.iter().map(ToString::to_string).collect() };
        let ruler = |name: &str| {
            let rest = words(&[
                "ruler",
                name,
                "--fifo",
                &fifo,
                "--log-dir",
                &dir,
                "--max-file-bytes",
                &size,
                "--max-files",
                &files,
            ]);
            [own.to_vec(), rest].concat()
        };
        match self {
            Collector::Logmon => {
                let rest = words(&[
                    "run",
                    "--log-dir",
                    &dir,
                    "--stdout",
                    &format!("{fifo}=log"),
                    "--max-files",
                    &files,
                    "--max-file-size",
                    &size,
                    "--log-level",
                    "warn",
                ]);
                [logmon.to_vec(), rest].concat()
            }
            Collector::ReadWrite => ruler("read-write"),
            Collector::StagedSplice => ruler("staged-splice"),
            Collector::Discard => ruler("discard"),
            Collector::S6Log => words(&["s6-log", &format!("n{files}"), &format!("s{size}"), &dir]),
            Collector::Svlogd => words(&["svlogd", &dir]),
            Collector::Multilog => {
                words(&["multilog", &format!("s{size}"), &format!("n{files}"), &dir])
            }
            Collector::Rotatelogs => words(&[
                "rotatelogs",
                "-n",
                &files,
                &format!("{dir}/log"),
                &format!("{size}B"),
            ]),
            Collector::Cronolog => words(&["cronolog", &format!("{dir}/log")]),
        }
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Collector::Logmon => "logmon",
            Collector::ReadWrite => "read+write (base)",
            Collector::StagedSplice => "staged splice (limit)",
            Collector::Discard => "read and discard",
            Collector::S6Log => "s6-log",
            Collector::Svlogd => "svlogd",
            Collector::Multilog => "multilog",
            Collector::Rotatelogs => "rotatelogs",
            Collector::Cronolog => "cronolog",
        })
    }
}
