//! Finds a task's program and makes it executable (edge). Where it is looked for is decided in `lookup`.
//!
//! What lies in a task folder may be a link that its task has made. So such a file is opened without leaving the
//! folder, openat2(2), and only what was opened gets another mode. It may also be a second name of a file of the
//! host, or somebody else's: then it stays as it is.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::lookup::{Place, executable_mode, places};
use crate::trust;
use crate::user::Credentials;

/// Why there is no program to start.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is nowhere.
    #[error("there is no program {}; looked for it at {}", program.display(), listed(places))]
    NotFound {
        /// The program, as it was given.
        program: PathBuf,
        /// Where it was looked for, in order.
        places: Vec<PathBuf>,
    },
    /// It is there, and nobody may execute it.
    #[error("can't execute {}; use chmod +x on it", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// It could not be looked at, or not be made executable.
    #[error("can't {what} {}", path.display())]
    Use {
        /// What failed.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of `openat2(2)`, `fstat(2)` or `chmod(2)`.
        source: io::Error,
    },
}

fn listed(places: &[PathBuf]) -> String {
    if places.is_empty() {
        return "no place, as it is neither absolute, nor a name in $PATH, nor in a task folder"
            .into();
    }
    let places: Vec<String> = places
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    places.join(", ")
}

/// Finds a program, and makes it executable if it is the task's own. The user is that of the task; none: the one of
/// this process.
pub(crate) fn find(
    program: &Path,
    task_folder: Option<&Path>,
    path: Option<&OsStr>,
    user: Option<&Credentials>,
) -> Result<PathBuf, ProgramError> {
    let folder = task_folder
        .map(|folder| Ok((folder, open_folder(folder)?)))
        .transpose()?;
    let mut looked_at = Vec::new();
    let (mut not_executable, mut for_others) = (None, None);
    for place in places(program, folder.is_some(), path) {
        let (path, found) = match (&place, &folder) {
            (Place::InTask(below), Some((folder, handle))) => {
                let path = folder.join(below);
                let found = look_in_task(handle, below, &path, user)?;
                (path, found)
            }
            (Place::InTask(path) | Place::OnHost(path), _) => {
                (path.clone(), look_on_host(path, user)?)
            }
        };
        match found {
            Found::Executable => return Ok(path),
            Found::ForOthers => for_others = for_others.or(Some(path)),
            Found::NotExecutable => not_executable = not_executable.or(Some(path)),
            Found::Nothing => looked_at.push(path),
        }
    }
    // A list of rights beside the mode, acl(5), may still let the user; the kernel says.
    if let Some(path) = for_others {
        return Ok(path);
    }
    Err(match not_executable {
        Some(path) => ProgramError::NotExecutable { path },
        None => ProgramError::NotFound {
            program: program.to_owned(),
            places: looked_at,
        },
    })
}

pub(crate) enum Found {
    Executable,
    /// By its mode, it is not for the user of the task to execute.
    ForOthers,
    NotExecutable,
    Nothing,
}

pub(crate) fn open_folder(folder: &Path) -> Result<OwnedFd, ProgramError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, folder, flags, Mode::empty())
        .map_err(|errno| failed("open task folder", folder, errno))
}

fn look_in_task(
    folder: &OwnedFd,
    below: &Path,
    path: &Path,
    user: Option<&Credentials>,
) -> Result<Found, ProgramError> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match look_below(folder, (below, resolve), path, user)? {
        Some(found) => Ok(found),
        // A link leads out of the folder. What it leads to is the host's, and stays as it is.
        None => look_on_host(path, user),
    }
}

/// Looks at a path below a folder, and makes the file there executable if it is the task's own; none if the path leads
/// to where `resolve` forbids.
pub(crate) fn look_below(
    folder: &OwnedFd,
    (below, resolve): (&Path, ResolveFlags),
    path: &Path,
    user: Option<&Credentials>,
) -> Result<Option<Found>, ProgramError> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = match openat2(folder, below, flags, Mode::empty(), resolve) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Some(Found::Nothing)),
        Err(Errno::XDEV | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(failed("look at", path, errno)),
    };
    make_executable(&file, path, user).map(Some)
}

/// Sees whether a file can be executed, and makes it so if it is the task's own.
fn make_executable(
    file: &OwnedFd,
    path: &Path,
    user: Option<&Credentials>,
) -> Result<Found, ProgramError> {
    let stat = fstat(file).map_err(|errno| failed("look at", path, errno))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(Found::Nothing);
    }
    let Some(mode) = executable_mode(stat.st_mode) else {
        return Ok(Found::Executable);
    };
    if !may_change(&stat, user) {
        let is_executable = stat.st_mode & 0o111 != 0;
        return Ok(if is_executable {
            Found::Executable
        } else {
            Found::NotExecutable
        });
    }
    // A descriptor of this kind has no fchmod(2); its link in /proc leads to the file that was opened.
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    match fs::set_permissions(link, Permissions::from_mode(mode)) {
        Ok(()) => Ok(Found::Executable),
        // Somebody else's file. Whoever may execute it, may.
        Err(_) if stat.st_mode & 0o111 != 0 => Ok(Found::Executable),
        Err(source) => Err(ProgramError::Use {
            what: "make executable",
            path: path.to_owned(),
            source,
        }),
    }
}

/// True if a file of the task folder is certain to be the task's own.
fn may_change(stat: &Stat, user: Option<&Credentials>) -> bool {
    let found = trust::Found {
        uid: stat.st_uid,
        has_other_name: stat.st_nlink > 1,
    };
    let task = user.map(|user| user.uid.as_raw());
    trust::admit(found, geteuid().as_raw(), task).is_ok()
}

fn look_on_host(path: &Path, user: Option<&Credentials>) -> Result<Found, ProgramError> {
    match fs::metadata(path) {
        Ok(facts) if !facts.is_file() => Ok(Found::Nothing),
        Ok(facts) if facts.mode() & 0o111 == 0 => Ok(Found::NotExecutable),
        Ok(facts) => {
            let owner = (facts.uid(), facts.gid());
            let is_for = |user: &Credentials| user.may_execute(facts.mode(), owner);
            Ok(if user.is_none_or(is_for) {
                Found::Executable
            } else {
                Found::ForOthers
            })
        }
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => Ok(Found::Nothing),
            // A folder of $PATH may be closed to this user, execvp(3).
            Some(Errno::ACCESS) => Ok(Found::NotExecutable),
            Some(_) | None => Err(ProgramError::Use {
                what: "look at",
                path: path.to_owned(),
                source: error,
            }),
        },
    }
}

fn failed(what: &'static str, path: &Path, errno: Errno) -> ProgramError {
    ProgramError::Use {
        what,
        path: path.to_owned(),
        source: errno.into(),
    }
}
