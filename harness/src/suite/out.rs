//! The folder that a run writes to. (edge)
//!
//! ```text
//! OUT/.harness          marker and lock: this folder is written by `harness run`
//! OUT/report.json       the report, replaced as a whole after every case
//! OUT/results.jsonl     one case a line, as they end
//! OUT/running/<number>/ the attempts that are being played; case.json in it says which case that is
//! OUT/<id>.bundle/      everything of a case that did not pass; `/` in the id is written `-`
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{self, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::statvfs::{FsFlags, statvfs};

use crate::case::CaseDir;
use crate::outcome::Status;
use crate::scenario::{LogmonBinary, Scenario};
use crate::suite::resolved;

const MARKER: &str = ".harness";
const BUNDLE_MARKER: &str = ".harness-bundle";
const RUNNING: &str = "running";
/// The longest path of a folder, in bytes: below it lie sockets of subjects, whose paths have at most 107
/// (`unix(7)`). The longest of ours is `/running/999999/keep/keeper.sock`.
const MAX_PATH_BYTES: usize = 75;

/// Which folders of cases are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Those of the cases that did not pass.
    #[default]
    Fail,
    /// All.
    All,
    /// None.
    None,
}

impl Keep {
    /// Whether the folder of an attempt of this status is kept.
    #[must_use]
    pub fn keeps(self, status: Status) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Fail => status != Status::Pass,
        }
    }
}

/// The folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OutError {
    /// Something in it can't be written.
    #[error("can't write {}; give another folder with --out", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another run writes to it.
    #[error("{} is used by another run; give --out another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// Sockets below it would have paths that no socket can have.
    #[error(
        "{} has {} bytes; sockets lie below it, so give --out a folder whose path has at most \
         {MAX_PATH_BYTES}",
        path.display(),
        path.as_os_str().len()
    )]
    TooLong {
        /// The folder.
        path: PathBuf,
    },
    /// Its path is no text: cases name their files in JSON and in command templates.
    #[error("{path:?} is no UTF-8; give --out a folder whose whole path is")]
    NoText {
        /// The folder.
        path: PathBuf,
    },
    /// A case starts a program there, and the file system does not allow it.
    #[error(
        "{} lies on a file system that starts no program (mounted noexec), and {case} starts one from there; \
         give another folder with --out, or leave that case out with --exclude",
        path.display()
    )]
    NoExec {
        /// The folder.
        path: PathBuf,
        /// The case.
        case: String,
    },
    /// It holds somebody else's report.
    #[error(
        "{} exists and is not from an earlier run; move it, or give --out another folder",
        path.display()
    )]
    Foreign {
        /// The file in the way.
        path: PathBuf,
    },
}

impl OutError {
    fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

/// Refuses a folder from which a case can't start the programs that it puts there. Nothing is made.
///
/// # Errors
/// The folder is, or would be made, on a file system that is mounted noexec, and one of these cases needs another.
pub fn require_programs(out: &Path, cases: &[&Scenario]) -> Result<(), OutError> {
    let path = resolved(out);
    let there = path.ancestors().find(|folder| folder.exists());
    let facts = there.and_then(|folder| statvfs(folder).ok());
    match starting_one_from(facts.map_or(FsFlags::empty(), |facts| facts.flags()), cases) {
        Some(case) => Err(OutError::NoExec { path, case }),
        None => Ok(()),
    }
}

/// The first case that starts a program from a folder on a file system of these flags, which allows none.
fn starting_one_from(flags: FsFlags, cases: &[&Scenario]) -> Option<String> {
    let needs = |one: &&&Scenario| one.host.logmon_binary == LogmonBinary::Copy;
    let first = cases.iter().find(needs).map(|one| one.id.clone());
    first.filter(|_| flags.contains(FsFlags::ST_NOEXEC))
}

/// The folder of a run; locked while this value lives.
#[derive(Debug)]
pub struct OutDir {
    path: PathBuf,
    results: File,
    /// Attempts that were given a folder so far.
    attempts: AtomicU32,
    _lock: File,
}

impl OutDir {
    /// Makes the folder if need be, locks it, and removes what an earlier run left there: its
    /// bundles, by the marker in each of them, and its reports.
    ///
    /// # Errors
    /// The folder is somebody else's, is in use or can't be written.
    pub fn open(path: &Path) -> Result<Self, OutError> {
        require_text(&path::absolute(path).map_err(OutError::write(path))?)?;
        // A link may lead to another name.
        let place = resolved(path);
        require_text(&place)?;
        if place.as_os_str().len() > MAX_PATH_BYTES {
            return Err(OutError::TooLong { path: place });
        }
        fs::create_dir_all(path).map_err(OutError::write(path))?;
        let path = path.canonicalize().map_err(OutError::write(path))?;
        let marker = path.join(MARKER);
        if !marker.exists() {
            for name in ["report.json", "results.jsonl", RUNNING] {
                if path.join(name).exists() {
                    return Err(OutError::Foreign {
                        path: path.join(name),
                    });
                }
            }
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&marker)
            .map_err(OutError::write(&marker))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OutError::InUse { path }),
            Err(TryLockError::Error(source)) => {
                return Err(OutError::Write {
                    path: marker,
                    source,
                });
            }
        }
        remove_earlier(&path)?;
        let running = path.join(RUNNING);
        fs::create_dir(&running).map_err(OutError::write(&running))?;
        let results = path.join("results.jsonl");
        let results = File::create(&results).map_err(OutError::write(&results))?;
        Ok(Self {
            path,
            results,
            attempts: AtomicU32::new(0),
            _lock: lock,
        })
    }

    /// The folder itself, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new folder for one attempt at a case. Its path is short, as sockets lie below it.
    ///
    /// # Errors
    /// It can't be made.
    pub fn case_dir(&self) -> Result<CaseDir, OutError> {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(RUNNING).join(number.to_string());
        fs::create_dir(&path).map_err(OutError::write(&path))?;
        let marker = path.join(BUNDLE_MARKER);
        fs::write(&marker, "").map_err(OutError::write(&marker))?;
        Ok(CaseDir::new(path))
    }

    /// Where the bundle of a case is kept, if it is kept.
    #[must_use]
    pub fn bundle(&self, id: &str) -> PathBuf {
        self.path.join(format!("{}.bundle", flat(id)))
    }

    /// Keeps the folder of an attempt as the case's bundle.
    ///
    /// # Errors
    /// It can't be renamed.
    pub fn keep(&self, dir: &CaseDir, id: &str) -> Result<PathBuf, OutError> {
        let bundle = self.bundle(id);
        fs::rename(dir.path(), &bundle).map_err(OutError::write(&bundle))?;
        Ok(bundle)
    }

    /// Removes the folder of an attempt. What can't be removed stays, and is removed by the next
    /// run.
    pub fn discard(&self, dir: &CaseDir) {
        drop(fs::remove_dir_all(dir.path()));
    }

    /// Writes one line of `results.jsonl`, in one write.
    ///
    /// # Errors
    /// It can't be written.
    pub fn add_result(&self, json: &str) -> Result<(), OutError> {
        (&self.results)
            .write_all(format!("{json}\n").as_bytes())
            .map_err(OutError::write(&self.path.join("results.jsonl")))
    }

    /// Replaces `report.json` as a whole: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write_report(&self, json: &str) -> Result<(), OutError> {
        replace(&self.path.join("report.json"), json)
    }

    /// Removes the folder of the running cases; to be called when none runs.
    pub fn finish(&self) {
        drop(fs::remove_dir_all(self.path.join(RUNNING)));
    }
}

fn require_text(path: &Path) -> Result<(), OutError> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(OutError::NoText {
            path: path.to_owned(),
        }),
    }
}

/// Writes a file beside its place and moves it there.
///
/// # Errors
/// It can't be written.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), OutError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let failed = OutError::write(path);
    let written = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".report")
            .tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(failed)
}

fn flat(id: &str) -> String {
    id.replace('/', "-")
}

fn remove_earlier(out: &Path) -> Result<(), OutError> {
    for entry in fs::read_dir(out).map_err(OutError::write(out))? {
        let path = entry.map_err(OutError::write(out))?.path();
        let is_bundle = path
            .extension()
            .is_some_and(|extension| extension == "bundle")
            && path.join(BUNDLE_MARKER).exists();
        if is_bundle || path.file_name().is_some_and(|name| name == RUNNING) {
            fs::remove_dir_all(&path).map_err(OutError::write(&path))?;
        }
    }
    for name in ["report.json", "results.jsonl"] {
        let path = out.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(OutError::Write { path, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_too_long_for_the_sockets_below_it_is_refused_by_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(MAX_PATH_BYTES));
        let text = OutDir::open(&long).unwrap_err().to_string();
        assert!(text.contains("at most 75"), "{text}");
        assert!(!long.exists(), "made although it is refused");
        let rest = MAX_PATH_BYTES - folder.path().as_os_str().len() - 1;
        let out = OutDir::open(&folder.path().join("x".repeat(rest))).unwrap();
        let keeper = out.case_dir().unwrap().keep().join("keeper.sock");
        std::fs::create_dir(keeper.parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(keeper).unwrap());
    }

    #[test]
    fn a_folder_from_which_no_program_starts_is_refused_for_a_case_that_needs_one_there() {
        let case = |binary: &str| {
            let text = format!(
                "id = \"mon/x\"\ntitle = \"A promise.\"\nrules = [\"MON-1\"]\n[host]\nlogmon_binary = \"{binary}\"\n\
                 [[plan]]\ndo = \"start-logmon\""
            );
            crate::scenario::expand(&text, "x.toml").unwrap().remove(0)
        };
        let (usual, copied) = (case("own"), case("copy"));
        let first = |flags, cases: &[&Scenario]| starting_one_from(flags, cases);
        let noexec = FsFlags::ST_NOEXEC | FsFlags::ST_NOSUID;
        assert_eq!(first(noexec, &[&usual]), None);
        assert_eq!(first(noexec, &[&usual, &copied]).as_deref(), Some("mon/x"));
        assert_eq!(first(FsFlags::ST_NOSUID, &[&copied]), None);
        require_programs(tempfile::tempdir().unwrap().path(), &[&copied]).unwrap();
    }

    #[test]
    fn an_earlier_runs_bundle_is_removed_and_a_foreign_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let out = OutDir::open(folder.path()).unwrap();
        let kept = out.keep(&out.case_dir().unwrap(), "mon/two").unwrap();
        assert_eq!(kept.file_name().unwrap(), "mon-two.bundle");
        fs::create_dir(folder.path().join("mine.bundle")).unwrap();
        drop(out);
        drop(OutDir::open(folder.path()).unwrap());
        assert!(!kept.exists());
        assert!(folder.path().join("mine.bundle").exists());
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _first = OutDir::open(folder.path()).unwrap();
        assert!(matches!(
            OutDir::open(folder.path()),
            Err(OutError::InUse { .. })
        ));
    }

    #[test]
    fn somebody_elses_report_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("report.json"), "mine").unwrap();
        assert!(matches!(
            OutDir::open(folder.path()),
            Err(OutError::Foreign { .. })
        ));
        assert_eq!(
            fs::read_to_string(folder.path().join("report.json")).unwrap(),
            "mine"
        );
    }
}
