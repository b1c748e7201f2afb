//! The folder of one container (edge): its configuration, and what the container library keeps of it.
//!
//! It lies in `/run`, or in the folder of temporary files where there is none, and only its user may enter it. It is
//! removed with the task's control groups.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

/// Tells the folders of one process apart.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Tells the files of one process apart.
static NEXT_FILE: AtomicU64 = AtomicU64::new(1);

/// A folder of a container.
#[derive(Debug)]
pub(crate) struct Bundle {
    path: PathBuf,
}

impl Bundle {
    /// Makes one: `executor-PID-NUMBER`.
    pub(crate) fn make() -> io::Result<Bundle> {
        let run = Path::new("/run");
        let around = if run.is_dir() {
            run.to_owned()
        } else {
            std::env::temp_dir()
        };
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = around.join(format!("executor-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Bundle { path }),
                // An executor with this pid was killed, and left it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let why = format!("can't make {}: {error}", path.display());
                    return Err(io::Error::new(error.kind(), why));
                }
            }
        }
    }

    /// The folder itself, in which the configuration stands.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the container library keeps what it knows.
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// A file for the pid of a new process, another one each time.
    pub(crate) fn pid_file(&self) -> PathBuf {
        let number = NEXT_FILE.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("pid-{number}"))
    }

    /// Writes the configuration of the container.
    pub(crate) fn write_config(&self, config: &Value) -> io::Result<()> {
        self.write("config.json", config).map(drop)
    }

    /// Writes what a process is to be; gives the path of the file.
    pub(crate) fn write_process(&self, process: &Value) -> io::Result<PathBuf> {
        let number = NEXT_FILE.fetch_add(1, Ordering::Relaxed);
        self.write(&format!("process-{number}.json"), process)
    }

    /// Removes files that nobody reads any more.
    pub(crate) fn forget(&self, files: [&Path; 2]) {
        for file in files {
            // What stays goes with the folder.
            drop(fs::remove_file(file));
        }
    }

    fn write(&self, name: &str, value: &Value) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(value.to_string().as_bytes())?;
        Ok(path)
    }

    /// Removes it with all that is in it. It is no error that it is gone.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn a_bundle_is_its_users_alone_and_leaves_nothing() {
        let Ok(bundle) = Bundle::make() else {
            return eprintln!(
                "skipped: a_bundle_is_its_users_alone_and_leaves_nothing: only root can write to /run"
            );
        };
        let mode = fs::metadata(bundle.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        bundle.write_config(&Value::Null).unwrap();
        let one = bundle.write_process(&Value::Bool(true)).unwrap();
        assert_eq!(fs::read_to_string(&one).unwrap(), "true");
        assert_ne!(one, bundle.write_process(&Value::Null).unwrap());
        bundle.remove().unwrap();
        assert!(!bundle.path().exists());
        bundle.remove().unwrap();
    }
}
