//! `harness.toml`: a file instead of flags. (core)
//!
//! ```toml
//! [driver]
//! command = "./mydriver --out {stdout} --err {stderr} -- {task}"
//! capabilities = ["forwards"]
//! # or, instead of `command`: stdio = "./mydriver"; or nomad_plugin, plugin_args, plugin_config, task_config
//!
//! [logmon]
//! command = "./mylogmon …" # or nomad_plugin = "nomad logmon"
//! serve = "…"
//! start = "…"
//! stop = "…"
//! capabilities = ["keeps-descriptors"]
//!
//! [run]
//! profiles = ["base"]
//! level = "must"
//! jobs = 4
//! filter = ["mon/*"]
//! exclude = ["cost"]
//! expected = "expected.toml"
//! out = "out"
//! report = { junit = "out/junit.xml" }
//! ```
//!
//! Laws: every key may be left out; a key that is not known is an error; a key means what its flag
//! means. Paths are relative to the file's folder, commands are started in the current one.

mod first_files;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::capability::{Capability, Declarer};
use crate::rule::{Level, Profile};

pub use first_files::{Ci, first_config, first_expected};

/// The name that is looked for in the current folder.
pub const CONFIG_FILE: &str = "harness.toml";

/// What a file says; everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The driver.
    pub driver: DriverTable,
    /// logmon.
    pub logmon: LogmonTable,
    /// What runs, and where its results go.
    pub run: RunTable,
}

/// `[driver]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriverTable {
    /// `--driver`
    pub command: Option<String>,
    /// `--driver-stdio`, instead of `command`
    pub stdio: Option<String>,
    /// `--nomad-plugin`, instead of both; with `task_config`.
    pub nomad_plugin: Option<PathBuf>,
    /// `--plugin-args`
    pub plugin_args: Option<String>,
    /// `--plugin-config`
    pub plugin_config: Option<PathBuf>,
    /// `--task-config`
    pub task_config: Option<PathBuf>,
    /// `--capability`, of the driver.
    #[serde(deserialize_with = "all_parsed")]
    pub capabilities: Vec<Capability>,
}

/// `[logmon]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogmonTable {
    /// `--logmon`
    pub command: Option<String>,
    /// `--nomad-logmon`, instead of `command`
    pub nomad_plugin: Option<String>,
    /// `--logmon-serve`
    pub serve: Option<String>,
    /// `--logmon-start`
    pub start: Option<String>,
    /// `--logmon-stop`
    pub stop: Option<String>,
    /// `--capability`, of logmon.
    #[serde(deserialize_with = "all_parsed")]
    pub capabilities: Vec<Capability>,
}

/// `[run]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunTable {
    /// `--profile`
    #[serde(deserialize_with = "all_parsed")]
    pub profiles: Vec<Profile>,
    /// `--level`
    #[serde(deserialize_with = "one_parsed")]
    pub level: Option<Level>,
    /// `--jobs`, 1..=1024.
    #[serde(deserialize_with = "jobs")]
    pub jobs: Option<u16>,
    /// `--filter`
    pub filter: Vec<String>,
    /// `--exclude`
    pub exclude: Vec<String>,
    /// `--expected`
    pub expected: Option<PathBuf>,
    /// `--out`
    pub out: Option<PathBuf>,
    /// `--report`: a kind and its file.
    pub report: BTreeMap<String, PathBuf>,
}

/// A text that is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ConfigError {
    /// The line, from 1; none where it is about the whole.
    pub line: Option<usize>,
    /// What is wrong; names the key.
    text: String,
}

impl Config {
    /// Reads a file's text. Paths are taken as they stand.
    ///
    /// # Errors
    /// The first place that is no TOML, that has an unknown key or a value that can't be; or a
    /// capability under the wrong table.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError {
            line: error
                .span()
                .map(|span| text[..span.start].matches('\n').count() + 1),
            text: error.message().to_owned(),
        })?;
        let driver = config.driver.capabilities.iter();
        let logmon = config.logmon.capabilities.iter();
        let declared = driver
            .map(|one| (one, Declarer::Driver, "driver"))
            .chain(logmon.map(|one| (one, Declarer::Logmon, "logmon")));
        for (capability, declarer, table) in declared {
            let belongs = match capability.declarer() {
                Declarer::Driver => "belongs to [driver]",
                Declarer::Logmon => "belongs to [logmon]",
                Declarer::Machine => "is the machine's; `harness doctor` tells what it allows",
            };
            if capability.declarer() != declarer {
                return Err(ConfigError {
                    line: None,
                    text: format!("capabilities of [{table}]: {capability} {belongs}"),
                });
            }
        }
        Ok(config)
    }

    /// The same with its paths relative to where the file's folder is.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        for path in self.run.report.values_mut() {
            *path = folder.join(&*path);
        }
        let joined = |path: PathBuf| folder.join(path);
        self.driver.plugin_config = self.driver.plugin_config.map(joined);
        self.driver.task_config = self.driver.task_config.map(joined);
        self.run.expected = self.run.expected.map(joined);
        self.run.out = self.run.out.map(joined);
        self
    }
}

fn parsed<T: FromStr<Err: Display>, E: serde::de::Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(E::custom)
}

fn one_parsed<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    parsed(&String::deserialize(from)?).map(Some)
}

fn all_parsed<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| parsed(text)).collect()
}

fn jobs<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    match i64::deserialize(from)? {
        jobs @ 1..=1024 => Ok(u16::try_from(jobs).ok()),
        jobs => Err(D::Error::custom(format!(
            "{jobs} is no number of cases side by side; 1 to 1024 are"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
[driver]
command = "drv {task}"
capabilities = ["forwards", "payload.exec"]
[logmon]
command = "mon"
serve = "a"
start = "b"
stop = "c"
capabilities = ["keeps-descriptors"]
[run]
profiles = ["base", "resilient"]
level = "must"
jobs = 4
filter = ["mon/*"]
exclude = ["cost"]
expected = "expected.toml"
out = "there"
report = { junit = "there/junit.xml" }
"#;

    fn is_refused(text: &str, line: Option<usize>, words: &[&str]) {
        let error = Config::read(text).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "no `{word}` in {error}");
        }
    }

    #[test]
    fn every_key_is_read_and_every_key_may_be_left_out() {
        let read = Config::read(WHOLE).unwrap();
        assert_eq!(
            read.driver.capabilities,
            [Capability::Forwards, Capability::PayloadExec]
        );
        assert_eq!(read.logmon.stop.as_deref(), Some("c"));
        assert_eq!(read.run.level, Some(Level::Must));
        assert_eq!(read.run.profiles, [Profile::Base, Profile::Resilient]);
        assert_eq!(read.run.jobs, Some(4));
        for line in WHOLE.lines().filter(|line| line.contains(" = ")) {
            Config::read(&WHOLE.replace(line, "")).unwrap();
        }
        assert_eq!(Config::read("").unwrap(), Config::default());
    }

    #[test]
    fn a_key_that_is_not_known_is_refused_with_the_known_ones() {
        is_refused("[drver]\n", Some(1), &["drver", "`driver`", "`run`"]);
        is_refused(
            "[driver]\ncomand = \"x\"\n",
            Some(2),
            &["comand", "`command`", "`stdio`", "`capabilities`"],
        );
        is_refused(
            "[run]\n\nprofile = []\n",
            Some(3),
            &["`profile`", "`profiles`"],
        );
    }

    #[test]
    fn a_value_that_can_not_be_is_refused_with_its_line() {
        is_refused("[run]\nlevel = \"may\"\n", Some(2), &["`may`", "`should`"]);
        is_refused(
            "[run]\nprofiles = [\"all\"]\n",
            Some(2),
            &["`all`", "`base`"],
        );
        is_refused("[run]\njobs = 0\n", Some(2), &["0", "1 to 1024"]);
        is_refused("[run]\njobs = 1025\n", Some(2), &["1025"]);
        is_refused("[run]\nfilter = \"mon/*\"\n", Some(2), &["sequence"]);
        is_refused(
            "[driver]\ncapabilities = [\"forward\"]\n",
            Some(2),
            &["`forward`", "forwards, merged"],
        );
        is_refused("[run\n", Some(1), &[]);
    }

    #[test]
    fn a_capability_under_the_wrong_table_is_refused_with_the_right_one() {
        is_refused(
            "[driver]\ncapabilities = [\"keeps-descriptors\"]\n",
            None,
            &["[driver]", "keeps-descriptors belongs to [logmon]"],
        );
        is_refused(
            "[logmon]\ncapabilities = [\"forwards\"]\n",
            None,
            &["forwards belongs to [driver]"],
        );
        is_refused(
            "[driver]\ncapabilities = [\"storage-faults\"]\n",
            None,
            &["is the machine's"],
        );
    }

    #[test]
    fn paths_are_relative_to_the_files_folder_and_absolute_ones_stay() {
        let read = Config::read(&WHOLE.replace("\"there\"", "\"/there\"")).unwrap();
        let moved = read.clone().in_folder(Path::new("ci"));
        assert_eq!(moved.run.expected, Some("ci/expected.toml".into()));
        assert_eq!(moved.run.out, Some("/there".into()));
        assert_eq!(moved.run.report["junit"], Path::new("ci/there/junit.xml"));
        assert_eq!(read.clone().in_folder(Path::new("")), read);
    }
}
