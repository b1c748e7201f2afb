//! Prepares a case's folder: scripts, FIFOs, and what is planted. (edge)

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use fifo::Reader;
use mock_driver::script::Script;
use mock_driver::stream::Stream;
use serde_json::json;

use super::namespace::{self, NamespaceError};
use super::plants::{Planted, plant_all};
use super::stalling::Stalling;
use crate::case::{Case, CaseDir};
use crate::scenario::{FifoKind, FolderKind, Host, Size};

/// The mode of the FIFOs that the host makes: SEC-3.
const FIFO_MODE: u32 = 0o600;

/// A case could not be prepared.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    #[error("create the folder {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("write the script {path}")]
    Script { path: PathBuf, source: io::Error },
    #[error("plant what the scenario asks for")]
    Plant { source: io::Error },
    #[error("give the case a file system of its own")]
    Storage { source: NamespaceError },
    #[error("create a FIFO, or read it")]
    Fifo { source: fifo::Error },
    #[error("put a {what} at {path}")]
    Instead {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// What is there before the first step.
pub(super) struct Prepared {
    pub(super) planted: Vec<Planted>,
    /// The log folder's file system, where the suite serves it.
    pub(super) storage: Option<Stalling>,
    /// Read ends of the FIFOs that links lead to: without a reader an open through a link would fail,
    /// as if the link had been refused.
    pub(super) behind_links: Vec<Reader>,
}

/// Makes everything that is there before the first step.
pub(super) fn prepare(case: &Case, dir: &CaseDir) -> Result<Prepared, PrepareError> {
    let storage = put_log_folder(dir, &case.scenario.host)?;
    for path in [dir.fifos(), dir.task(), dir.gates()] {
        fs::create_dir_all(&path).map_err(|source| PrepareError::Folder { path, source })?;
    }
    make_private(dir.keep())?;
    for (name, script) in &case.scenario.tasks {
        let path = dir.script(name);
        script_text(script, case.leave_out)
            .and_then(|text| fs::write(&path, text))
            .map_err(|source| PrepareError::Script { path, source })?;
    }
    let mut planted = plant_all(dir, &case.scenario.host.plant)
        .map_err(|source| PrepareError::Plant { source })?;
    put_many(case, dir)?;
    for stream in Stream::BOTH {
        if put_fifo(dir, stream, case.scenario.host.fifos)? {
            planted.push(Planted::remember(dir.fifo(stream)));
        }
    }
    Ok(Prepared {
        planted,
        storage,
        behind_links: read_behind_links(dir, case.scenario.host.fifos)?,
    })
}

/// Makes the folders and the FIFOs of many tasks.
fn put_many(case: &Case, dir: &CaseDir) -> Result<(), PrepareError> {
    for task in 0..case.scenario.many.map_or(0, |many| many.tasks) {
        let path = dir.many(task);
        fs::create_dir_all(&path).map_err(|source| PrepareError::Folder { path, source })?;
        for stream in Stream::BOTH {
            fifo::create(&dir.many_fifo(task, stream), FIFO_MODE)
                .map_err(|source| PrepareError::Fifo { source })?;
        }
    }
    Ok(())
}

/// Makes a folder that only its owner can enter: whoever reaches a keeper's socket may take the
/// descriptors.
fn make_private(path: PathBuf) -> Result<(), PrepareError> {
    let mut private = fs::DirBuilder::new();
    private.mode(0o700).recursive(true);
    private
        .create(&path)
        .map_err(|source| PrepareError::Folder { path, source })
}

/// Puts something at the log folder's path.
fn put_log_folder(dir: &CaseDir, host: &Host) -> Result<Option<Stalling>, PrepareError> {
    let create = |path: PathBuf| {
        fs::create_dir_all(&path).map_err(|source| PrepareError::Folder { path, source })
    };
    match host.log_folder {
        FolderKind::Present => create(dir.log()).map(|()| None),
        FolderKind::Tmpfs => {
            let bytes = host.log_folder_bytes.map_or(0, |Size(bytes)| bytes);
            namespace::mount_log_folder(dir, |place| namespace::mount_tmpfs(place, bytes))
                .map(|()| None)
                .map_err(|source| PrepareError::Storage { source })
        }
        FolderKind::Stalling => namespace::mount_log_folder(dir, namespace::mount_stalling)
            .map(Some)
            .map_err(|source| PrepareError::Storage { source }),
        FolderKind::Symlink => {
            let elsewhere = Path::new("elsewhere").join("log");
            create(dir.path().join(&elsewhere))?;
            // Relative, so that it leads to the same folder when the case's own is moved.
            symlink(&elsewhere, dir.log())
                .map(|()| None)
                .map_err(|source| PrepareError::Instead {
                    what: "symbolic link",
                    path: dir.log(),
                    source,
                })
        }
    }
}

/// The FIFO that a link at a FIFO's path leads to.
fn behind_link(dir: &CaseDir, stream: Stream) -> PathBuf {
    dir.path().join("elsewhere").join(format!("{stream}.fifo"))
}

fn read_behind_links(dir: &CaseDir, kind: FifoKind) -> Result<Vec<Reader>, PrepareError> {
    match kind {
        FifoKind::Symlink => {}
        FifoKind::Present
        | FifoKind::Absent
        | FifoKind::Disabled
        | FifoKind::PlainFile
        | FifoKind::Folder
        | FifoKind::Socket => return Ok(Vec::new()),
    }
    let readers = Stream::BOTH.map(|stream| Reader::open(behind_link(dir, stream)));
    let readers: Result<Vec<_>, _> = readers.into_iter().collect();
    readers.map_err(|source| PrepareError::Fifo { source })
}

/// Puts something at a FIFO's path, and says whether nobody may touch it.
fn put_fifo(dir: &CaseDir, stream: Stream, kind: FifoKind) -> Result<bool, PrepareError> {
    let path = dir.fifo(stream);
    let create =
        |path: &Path| fifo::create(path, FIFO_MODE).map_err(|source| PrepareError::Fifo { source });
    let instead = |what, path: PathBuf| move |source| PrepareError::Instead { what, path, source };
    match kind {
        FifoKind::Present => create(&path).map(|()| false),
        FifoKind::Absent | FifoKind::Disabled => Ok(false),
        FifoKind::PlainFile => {
            let text = "A regular file where a FIFO should be.\n";
            fs::write(&path, text)
                .map_err(instead("regular file", path))
                .map(|()| true)
        }
        FifoKind::Symlink => {
            let elsewhere = dir.path().join("elsewhere");
            fs::create_dir_all(&elsewhere).map_err(|source| PrepareError::Folder {
                path: elsewhere.clone(),
                source,
            })?;
            let real = behind_link(dir, stream);
            create(&real)?;
            symlink(&real, &path)
                .map_err(instead("symbolic link", path))
                .map(|()| true)
        }
        FifoKind::Folder => fs::create_dir(&path)
            .map_err(instead("folder", path))
            .map(|()| true),
        FifoKind::Socket => {
            // The socket's file stays when the listener is closed. A path too long for a socket's
            // address is an error of ours, told as such.
            UnixListener::bind(&path)
                .map_err(instead("socket", path))
                .map(|_| true)
        }
    }
}

/// A script as the payload reads it.
fn script_text(script: &Script, leave_out: Option<(Stream, u64)>) -> io::Result<String> {
    let mut document = serde_json::to_value(script).map_err(io::Error::other)?;
    if let Some((stream, seq)) = leave_out {
        document["leave_out"] = json!({ "stream": stream, "seq": seq });
    }
    serde_json::to_string_pretty(&document).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use nix::fcntl::OFlag;

    use super::*;

    #[test]
    fn a_script_survives_its_file() {
        let text = "seed = 3\nexit_signal = \"TERM\"\n[[step]]\ndo = \"records\"\nstream = \"stdout\"\ncount = 2\n\
                    [[step]]\ndo = \"child\"\nstreams = [\"stderr\"]\nhold_ms = 3\n[[step]]\ndo = \"raw\"\nstream = \"stderr\"\nbytes = 9\n";
        let script = Script::parse(text, Path::new("x.toml")).unwrap();
        let file = script_text(&script, None).unwrap();
        assert_eq!(Script::parse(&file, Path::new("x.json")).unwrap(), script);
        let file = script_text(&script, Some((Stream::Stdout, 7))).unwrap();
        let left_out = Script::parse(&file, Path::new("x.json"))
            .unwrap()
            .leave_out
            .unwrap();
        assert_eq!((left_out.stream, left_out.seq), (Stream::Stdout, 7));
    }

    #[test]
    fn nobody_else_can_enter_the_folder_of_the_keeper() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let dir = CaseDir::new(folder.path());
        make_private(dir.keep()).unwrap();
        let mode = fs::metadata(dir.keep()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_fifo_behind_a_link_has_a_reader() {
        let folder = tempfile::tempdir().unwrap();
        let dir = CaseDir::new(folder.path());
        fs::create_dir(dir.fifos()).unwrap();
        for stream in Stream::BOTH {
            put_fifo(&dir, stream, FifoKind::Symlink).unwrap();
        }
        let follow = |stream| {
            let mut options = fs::OpenOptions::new();
            options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
            options.open(dir.fifo(stream)).map(drop)
        };
        let kind = follow(Stream::Stdout).unwrap_err().raw_os_error();
        assert_eq!(kind, Some(nix::libc::ENXIO));
        let readers = read_behind_links(&dir, FifoKind::Symlink).unwrap();
        assert_eq!(readers.len(), 2);
        for stream in Stream::BOTH {
            follow(stream).unwrap();
        }
    }

    #[test]
    fn every_kind_stands_where_the_fifo_should() {
        let kinds = [
            (FifoKind::Present, "fifo", false),
            (FifoKind::Absent, "nothing", false),
            (FifoKind::PlainFile, "regular file", true),
            (FifoKind::Symlink, "symbolic link", true),
            (FifoKind::Folder, "folder", true),
            (FifoKind::Socket, "socket", true),
        ];
        for (kind, wanted, is_planted) in kinds {
            let folder = tempfile::tempdir().unwrap();
            let dir = CaseDir::new(folder.path());
            fs::create_dir(dir.fifos()).unwrap();
            assert_eq!(put_fifo(&dir, Stream::Stdout, kind).unwrap(), is_planted);
            assert_eq!(
                crate::observe::standing(&dir.fifo(Stream::Stdout)).kind,
                wanted
            );
        }
    }
}
