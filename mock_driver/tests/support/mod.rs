//! A folder of its own, the program, and waiting for conditions.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses a part of it, and a test may unwrap"
)]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use mock_driver::journal::{Line, parse_line};
use mock_driver::script::Script;

/// How long a condition may take on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A folder that is gone with the value.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the script to `script.toml` and gives it parsed.
    pub fn script(&self, text: &str) -> Script {
        let path = self.path("script.toml");
        std::fs::write(&path, text).unwrap();
        Script::parse(text, &path).unwrap()
    }

    /// The whole lines of `journal`; none if it is missing.
    pub fn journal(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(self.path("journal")).unwrap_or_default();
        text.lines().map(|line| parse_line(line).unwrap()).collect()
    }
}

/// The program under test.
pub fn mock_driver() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mock_driver"))
}

/// Waits for the condition and fails by its name when it takes too long.
#[expect(clippy::disallowed_methods, reason = "a poller with a deadline")]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {LIMIT:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
