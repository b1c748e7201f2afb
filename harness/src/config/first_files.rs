//! The files that `harness init` writes. (core)

use toml_edit::Value;

/// The CI system that a file is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ci {
    /// A workflow of GitHub.
    Github,
    /// A job for GitLab, to be included.
    Gitlab,
}

impl Ci {
    /// The file's path, relative to the folder of `harness.toml`.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Github => ".github/workflows/harness.yml",
            Self::Gitlab => "harness.gitlab-ci.yml",
        }
    }

    /// The file's text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Github => GITHUB,
            Self::Gitlab => GITLAB,
        }
    }
}

/// A `harness.toml` for this driver and this logmon; those that are not given stand in it as comments.
#[must_use]
pub fn first_config(driver: Option<&str>, logmon: Option<&str>) -> String {
    let driver = match driver {
        Some(template) => format!("command = {}", quoted(template)),
        None => format!(
            "# command = {}",
            quoted("./mydriver --out {stdout} --err {stderr} -- {task}")
        ),
    };
    let logmon = match logmon {
        Some(template) => format!("command = {}", quoted(template)),
        None => format!(
            "# command = {}",
            quoted(
                "./mylogmon --dir {log_dir} --out {stdout_fifo}={stdout_name} --err {stderr_fifo}={stderr_name} --max-files {max_files} --max-bytes {max_file_bytes}"
            )
        ),
    };
    format!(
        "\
# What `harness run` does in this folder. Every key may be left out, and a flag wins over it.
# Paths are relative to this file's folder.

[driver]
# How the driver is started. Without a command the bundled mock driver is used.
{driver}
# What it declares beside what any command can do.
# capabilities = [\"forwards\"]

[logmon]
# How logmon is started. Without a command the bundled one is used.
{logmon}
# capabilities = [\"keeps-descriptors\"]

[run]
# Failures that are known.
expected = \"expected.toml\"
# level = \"must\"
# profiles = [\"base\"]
# exclude = [\"cost\"]
# out = \"out\"
# report = {{ junit = \"out/junit.xml\" }}
"
    )
}

/// An `expected.toml` that expects nothing.
#[must_use]
pub fn first_expected() -> &'static str {
    "\
# Failures that are known. Each entry excuses one case, or a glob over at most 20, and exactly the
# damage that it names: another shape is a new failure, a pass makes the entry out of date.
#
# [[expect]]
# case = \"mon/kill-full-pipe-bare\"
# outcome = \"fail\"             # or \"flaky\": it may pass as well
# shape = \"lost-pipe-content\"  # what the failure prints in brackets; several as a list
# reason = \"say why it is excused\"
# issue = \"https://…\"          # may be left out
# until = 2030-01-31           # the last day on which it counts; may be left out
"
}

/// A text as TOML writes it, in the form that needs the fewest escapes.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

const GITHUB: &str = "\
# Holds this project to the task-log contract.
name: task-log contract
on: [push, pull_request]
jobs:
  harness:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      # Here: build your driver, and put `harness` on PATH. It is one binary.
      - run: harness run --report junit=out/junit.xml,json=out/report.json
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: harness
          path: out
";

const GITLAB: &str = "\
# Holds this project to the task-log contract.
harness:
  script:
    # Here: build your driver, and put `harness` on PATH. It is one binary.
    - harness run --report junit=out/junit.xml,json=out/report.json
  artifacts:
    when: always
    paths: [out]
    reports:
      junit: out/junit.xml
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::expected::Expectations;

    #[test]
    fn the_first_files_are_accepted_and_say_what_was_given() {
        let driver = "sh -c 'exec {task} >{stdout} 2>\"{stderr}\"' \\ ";
        for (driver, logmon) in [
            (None, None),
            (Some(driver), None),
            (None, Some("m {log_dir}")),
        ] {
            let config = Config::read(&first_config(driver, logmon)).unwrap();
            assert_eq!(config.driver.command.as_deref(), driver);
            assert_eq!(config.logmon.command.as_deref(), logmon);
            assert_eq!(config.run.expected, Some("expected.toml".into()));
        }
        let known = [].into();
        let expected = Expectations::read(first_expected(), &known).unwrap();
        assert_eq!(expected.entries(), []);
    }

    /// Takes the `# ` away from the lines that are keys.
    fn uncommented(text: &str) -> String {
        let line = |line: &str| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") || rest.starts_with("[[") => rest.to_owned(),
            Some(_) | None => line.to_owned(),
        };
        text.lines().map(|one| line(one) + "\n").collect()
    }

    #[test]
    fn what_stands_in_them_as_a_comment_could_stand_without_it() {
        let config = Config::read(&uncommented(&first_config(None, None))).unwrap();
        assert!(config.driver.command.is_some() && config.logmon.command.is_some());
        assert!(!config.run.report.is_empty());
        let known = ["mon/kill-full-pipe-bare".to_owned()].into();
        let expected = Expectations::read(&uncommented(first_expected()), &known).unwrap();
        assert_eq!(expected.entries().len(), 1);
    }
}
