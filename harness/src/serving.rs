//! How one logmon is started for many tasks, and how it is told of them. (core)
//!
//! Three command templates: one starts the process, one gives it a task, and one takes a task away.
//! The suite knows nothing of what these commands say to the process. A command that gives or takes a
//! task has done so when it has ended with 0; with anything else it has not, and says why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::template::{self, TemplateError, Values};

/// The bundled logmon's.
pub const BUNDLED_SERVING: ServingTemplates<'static> = ServingTemplates {
    serve: "{self} logmon serve --control {control}",
    start: "{self} logmon ctl --control {control} start --task {task_id} --log-dir {log_dir} \
            --stdout {stdout_fifo}={stdout_name} --stderr {stderr_fifo}={stderr_name} \
            --max-files {max_files} --max-file-size {max_file_bytes} --line-guard {line_guard} \
            --on-full {on_full}",
    stop: "{self} logmon ctl --control {control} stop --task {task_id}",
};

/// The three templates as they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServingTemplates<'a> {
    /// Starts the process.
    pub serve: &'a str,
    /// Gives it a task.
    pub start: &'a str,
    /// Takes a task away.
    pub stop: &'a str,
}

/// The three templates as words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// Starts the process; not empty.
    pub serve: Vec<String>,
    /// Gives it a task; not empty.
    pub start: Vec<String>,
    /// Takes a task away: drained and let go when the command has ended with 0; not empty.
    pub stop: Vec<String>,
}

/// Templates that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// A template can't be split into words, or names something unknown or not what it must.
    #[error("{flag} {template:?}")]
    Template {
        /// The option.
        flag: &'static str,
        /// As it was given.
        template: String,
        /// Why.
        source: TemplateError,
    },
    /// Some of the three are missing.
    #[error("{SERVE}, {START} and {STOP} belong together: give {} as well", missing.join(" and "))]
    Incomplete {
        /// The options that are missing.
        missing: Vec<&'static str>,
    },
    /// There is no logmon that they belong to.
    #[error(
        "{SERVE} is the other form of a logmon: give --logmon as well, for the cases with one task"
    )]
    NoLogmon,
}

const SERVE: &str = "--logmon-serve";
const START: &str = "--logmon-start";
const STOP: &str = "--logmon-stop";

/// The placeholders of the command that starts the process.
const SERVE_PLACEHOLDERS: &[&str] = &["control", "id", "keep_dir", "self"];

/// The placeholders of the command that gives a task.
const START_PLACEHOLDERS: &[&str] = &[
    "control",
    "id",
    "line_guard",
    "log_dir",
    "max_file_bytes",
    "max_files",
    "on_full",
    "self",
    "stderr_fifo",
    "stderr_name",
    "stdout_fifo",
    "stdout_name",
    "task_id",
];

/// The placeholders of the command that takes a task away.
const STOP_PLACEHOLDERS: &[&str] = &["control", "id", "self", "task_id"];

impl<'a> ServingTemplates<'a> {
    /// The three options together; none if none of them is given.
    ///
    /// # Errors
    /// [`ServingError::Incomplete`].
    pub fn all_or_none(
        serve: Option<&'a str>,
        start: Option<&'a str>,
        stop: Option<&'a str>,
    ) -> Result<Option<Self>, ServingError> {
        match (serve, start, stop) {
            (None, None, None) => Ok(None),
            (Some(serve), Some(start), Some(stop)) => Ok(Some(Self { serve, start, stop })),
            (serve, start, stop) => {
                let given = [(SERVE, serve), (START, start), (STOP, stop)];
                let missing = given.into_iter().filter(|(_, given)| given.is_none());
                Err(ServingError::Incomplete {
                    missing: missing.map(|(flag, _)| flag).collect(),
                })
            }
        }
    }
}

impl Serving {
    /// The words of three templates.
    ///
    /// # Errors
    /// [`ServingError::Template`]: each needs `{control}`, and those about a task need what tells it.
    pub fn new(templates: &ServingTemplates<'_>) -> Result<Self, ServingError> {
        let start: &[&[&str]] = &[
            &["control"],
            &["task_id"],
            &["log_dir"],
            &["stdout_fifo"],
            &["stderr_fifo"],
        ];
        let stop: &[&[&str]] = &[&["control"], &["task_id"]];
        Ok(Self {
            serve: words(SERVE, templates.serve, SERVE_PLACEHOLDERS, &[&["control"]])?,
            start: words(START, templates.start, START_PLACEHOLDERS, start)?,
            stop: words(STOP, templates.stop, STOP_PLACEHOLDERS, stop)?,
        })
    }
}

impl Serving {
    /// The options that give these templates.
    pub fn options(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        let all = [
            (SERVE, self.serve.as_slice()),
            (START, &self.start),
            (STOP, &self.stop),
        ];
        all.into_iter()
    }
}

fn words(
    flag: &'static str,
    template: &str,
    known: &[&'static str],
    needed: &[&[&str]],
) -> Result<Vec<String>, ServingError> {
    let checked = || -> Result<Vec<String>, TemplateError> {
        let words = template::split(template)?;
        let single: BTreeMap<&'static str, String> = known
            .iter()
            .map(|name| (*name, (*name).to_owned()))
            .collect();
        let task = Vec::new();
        template::expand(&words, &Values { task, single })?;
        for names in needed {
            template::require_one_of(&words, names)?;
        }
        Ok(words)
    };
    checked().map_err(|source| ServingError::Template {
        flag,
        template: template.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(templates: &ServingTemplates<'_>) -> String {
        let error = Serving::new(templates).unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        format!("{error}: {source}")
    }

    #[test]
    fn the_bundled_templates_are_words() {
        let serving = Serving::new(&BUNDLED_SERVING).unwrap();
        assert_eq!(serving.serve[..3], ["{self}", "logmon", "serve"]);
        assert_eq!(
            serving.stop.last().map(String::as_str),
            Some("{task_id}"),
            "{serving:?}"
        );
    }

    #[test]
    fn a_template_that_does_not_tell_what_it_must_is_refused_by_its_option() {
        let silent = ServingTemplates {
            stop: "mon stop {control}",
            ..BUNDLED_SERVING
        };
        let text = refusal(&silent);
        assert!(text.contains("--logmon-stop"), "{text}");
        assert!(text.contains("{task_id}"), "{text}");
        let fixed = ServingTemplates {
            serve: "mon serve /run/mon",
            ..BUNDLED_SERVING
        };
        assert!(refusal(&fixed).contains("{control}"));
        let unknown = ServingTemplates {
            start: "mon {control} {task}",
            ..BUNDLED_SERVING
        };
        assert!(refusal(&unknown).contains("unknown placeholder `{task}`"));
    }

    #[test]
    fn all_three_or_none() {
        let all = ServingTemplates::all_or_none;
        assert_eq!(all(None, None, None).unwrap(), None);
        assert!(all(Some("a"), Some("b"), Some("c")).unwrap().is_some());
        let text = all(None, Some("b"), None).unwrap_err().to_string();
        assert!(
            text.ends_with("give --logmon-serve and --logmon-stop as well"),
            "{text}"
        );
    }
}
