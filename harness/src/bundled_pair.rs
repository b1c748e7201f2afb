//! How the bundled pair is started, and which part of a case is one of it. (core)

use crate::capability::Capability;
use crate::case::Case;
use crate::template;

/// How the bundled mock driver is started: a real forwarding driver around the payload.
pub const BUNDLED_DRIVER: &str = "{self} mock-driver run --stdout {stdout} --stderr {stderr} \
                                  --journal {driver_journal} -- {task}";

/// What `--driver` and `--driver-stdio` take for the bundled executor, which runs real commands.
pub const EXECUTOR: &str = "executor";

/// How the bundled executor is started, as a driver.
pub const BUNDLED_EXECUTOR: &str =
    "{self} executor run --stdout {stdout} --stderr {stderr} -- {task}";

/// How the bundled executor is started, as a driver that is spoken to.
pub const BUNDLED_EXECUTOR_SERVE: &str = "{self} executor serve";

/// What the bundled executor declares, beside what any command can do.
pub const EXECUTOR_CAPABILITIES: &[Capability] = &[
    Capability::NoLogCollection,
    Capability::ChecksPaths,
    Capability::Contains,
];

/// How the bundled logmon is started.
pub const BUNDLED_LOGMON: &str = "{self} logmon run --log-dir {log_dir} \
                                  --stdout {stdout_fifo}={stdout_name} \
                                  --stderr {stderr_fifo}={stderr_name} \
                                  --max-files {max_files} --max-file-size {max_file_bytes} \
                                  --line-guard {line_guard} --on-full {on_full}";

/// What makes the bundled logmon keep its descriptors, behind [`BUNDLED_LOGMON`].
pub const BUNDLED_KEEPER: &str = "--keeper {keep_dir}/keeper.sock";

/// How the bundled logmon is started with a keeper.
#[must_use]
pub fn kept_logmon() -> String {
    format!("{BUNDLED_LOGMON} {BUNDLED_KEEPER}")
}

/// Whether this is the template of one of the bundled logmons.
#[must_use]
pub fn is_bundled_logmon(words: &[String]) -> bool {
    is(words, BUNDLED_LOGMON) || is(words, &kept_logmon())
}

fn is(words: &[String], template: &str) -> bool {
    template::split(template).is_ok_and(|own| own == words)
}

impl Case {
    /// Whether its driver is the bundled one, which keeps the contract.
    #[must_use]
    pub fn has_bundled_driver(&self) -> bool {
        is(&self.driver, BUNDLED_DRIVER)
    }

    /// Whether its logmon is a bundled one, which keeps the contract.
    #[must_use]
    pub fn has_bundled_logmon(&self) -> bool {
        is_bundled_logmon(&self.logmon)
    }
}
