//! Edge: what the tests of `logmon run` and of `logmon serve` share: a folder of their own, a process that
//! gets ready in it, and waiting for conditions.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fifo::{Writable, Writer, Written};
use tempfile::TempDir;

/// How long a condition may take on a machine with much else to do.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Waits until the condition holds; the text is what the failure says.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_met: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_met() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        pause();
    }
}

/// The pause between two looks at a condition.
#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two looks at a condition"
)]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

/// Copies logmon. Another process does it: what is open for writing can't be executed, execve(2), and a child
/// of another test may hold a copy of a descriptor of this process for a moment.
pub(crate) fn copy_of_logmon(to: &Path) {
    let mut copy = Command::new("cp");
    let copied = copy.arg(env!("CARGO_BIN_EXE_logmon")).arg(to).status();
    assert!(copied.unwrap().success(), "{}", to.display());
}

/// A folder with a private folder `run`, for sockets and FIFOs, and a folder `logs`.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        for name in ["run", "logs"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(dir.path().join("run"), private).unwrap();
        Place { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts a process and waits for its ready line. Its diagnostics go to a file.
    #[track_caller]
    pub(crate) fn start_until_ready(&self, mut command: Command) -> Child {
        let diagnostics = File::options()
            .create(true)
            .append(true)
            .open(self.path("diagnostics"))
            .unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(diagnostics)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        if line != "ready\n" {
            drop(child.kill());
            drop(child.wait());
            panic!("got {line:?} instead of ready: {}", self.diagnostics());
        }
        child
    }

    /// What the processes said on stderr so far.
    pub(crate) fn diagnostics(&self) -> String {
        fs::read_to_string(self.path("diagnostics")).unwrap()
    }

    /// The log files of a stream, in the order of their indices: index and content.
    pub(crate) fn files_of(&self, name: &str) -> Vec<(u64, Vec<u8>)> {
        log_files(&self.path("logs"), name)
    }
}

/// The log files of a stream in this folder, in the order of their indices: index and content.
pub(crate) fn log_files(folder: &Path, name: &str) -> Vec<(u64, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let file = entry.file_name().into_string().unwrap();
        let index = file
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('.')?.parse::<u64>().ok());
        if let (Some(index), true) = (index, entry.file_type().unwrap().is_file()) {
            // It may be deleted between listing and reading.
            files.push((index, fs::read(entry.path()).unwrap_or_default()));
        }
    }
    files.sort();
    files
}

/// Opens a FIFO for writing once somebody reads it.
pub(crate) fn writer_of(fifo: &Path) -> Writer {
    Writer::open_within(fifo, LIMIT).unwrap()
}

/// Writes everything, and waits for room where it has to.
#[track_caller]
pub(crate) fn write_all(writer: &Writer, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match writer.try_write(bytes).unwrap() {
            Written::Bytes(count) => bytes = &bytes[count..],
            Written::Full => {
                assert_eq!(writer.wait_writable(LIMIT).unwrap(), Writable::Ready);
            }
            Written::NoReader => panic!("nobody reads"),
        }
    }
}

/// Lines of 100 bytes each, numbered from `first`.
pub(crate) fn lines(first: usize, count: usize) -> Vec<u8> {
    (first..first + count)
        .flat_map(|number| format!("{number:099}\n").into_bytes())
        .collect()
}
