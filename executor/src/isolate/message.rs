//! What is said to the process that builds a container, and what it answers: one JSON object a line (core).
//!
//! ```text
//! executor  {"place":{"container":{"bundle":"/run/executor-7-1"}},"state":…}     an Order
//! builder   {"said":"failed to prepare rootfs …"}                                                   Reports
//! builder   {"made":9}
//! task      {"not-executed":{"errno":2,"place":null}}
//! ```
//!
//! What the new process gets as its stdin comes with the order, unless that is the null device; its stdout and stderr are
//! those of the builder. The new process of the task holds the same socket until it is the program. So the end of the conversation says that
//! it is, unless one of the reports says otherwise.

use serde::{Deserialize, Serialize};

/// What is to be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) place: Place,
    /// The folder in which the container library keeps what it knows of the container.
    pub(crate) state: String,
    /// The file for the pid of the new process.
    pub(crate) pid_file: String,
    /// Where the program is looked for, in the root of the task.
    pub(crate) places: Vec<String>,
    /// True if what comes as stdin is the terminal that controls its session.
    pub(crate) has_terminal: bool,
}

/// Where a process is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// In a new container, as the configuration in this bundle says.
    Container { bundle: String },
    /// In the container that is there, as this file says.
    Beside { process: String },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Report {
    /// The process has this pid, and is about to be told to become the program.
    Made(i32),
    /// Something went wrong on the way; there may be more of these.
    Said(String),
    /// It was not made.
    Failed(String),
    /// It has not become the program.
    NotExecuted {
        /// The error of execve(2).
        errno: i32,
        /// The place that the program is at; none if it is nowhere.
        place: Option<String>,
    },
}

/// What all the reports come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The process with this pid has become the program.
    Runs(i32),
    /// It was not made, or has gone wrong before; what was said of it.
    Failed(String),
    /// The program is nowhere.
    NotFound,
    /// It is there, and can't be executed.
    NotExecuted { errno: i32, place: String },
}

/// Gives what the reports come to, when no process can make another one, and the process that was made, if one was.
pub(crate) fn outcome(reports: &[Report]) -> (Outcome, Option<i32>) {
    let (mut before, mut said) = (Vec::new(), Vec::new());
    let (mut made, mut failed, mut not_executed) = (None, None, None);
    for report in reports {
        match report {
            Report::Made(pid) => {
                made = Some(*pid);
                before.append(&mut said);
            }
            Report::Said(text) => said.push(text.as_str()),
            Report::Failed(text) => failed = Some(text.as_str()),
            Report::NotExecuted { errno, place } => not_executed = Some((*errno, place.clone())),
        }
    }
    let outcome = match (not_executed, made, failed) {
        (Some((errno, Some(place))), ..) => Outcome::NotExecuted { errno, place },
        (Some((_, None)), ..) => Outcome::NotFound,
        // What was said before it was made has hindered nobody.
        (None, Some(pid), None) if said.is_empty() => Outcome::Runs(pid),
        (None, _, failed) => {
            // The first one is the cause of the others.
            let cause = before.into_iter().chain(said).next();
            Outcome::Failed(match (failed, cause) {
                (None, None) => "the process that builds it has ended without a word".into(),
                (Some(text), None) | (None, Some(text)) => text.to_owned(),
                (Some(failed), Some(cause)) => format!("{failed}; {cause}"),
            })
        }
    };
    (outcome, made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Report {
        Report::Said(text.into())
    }

    #[test]
    fn a_process_that_was_made_and_said_nothing_more_runs() {
        assert_eq!(outcome(&[Report::Made(9)]), (Outcome::Runs(9), Some(9)));
        let before = [said("no such controller"), Report::Made(9)];
        assert_eq!(outcome(&before).0, Outcome::Runs(9));
    }

    #[test]
    fn what_failed_is_told_with_its_cause() {
        assert_eq!(
            outcome(&[
                said("no such folder"),
                Report::Made(9),
                Report::Failed("can't build".into()),
                said("gone")
            ]),
            (
                Outcome::Failed("can't build; no such folder".into()),
                Some(9)
            )
        );
        assert_eq!(
            outcome(&[Report::Made(9), said("no exec")]).0,
            Outcome::Failed("no exec".into())
        );
        let silent = Outcome::Failed("the process that builds it has ended without a word".into());
        assert_eq!(outcome(&[]), (silent, None));
    }

    #[test]
    fn a_program_that_is_nowhere_is_told_from_one_that_can_t_be_executed() {
        let report = |place: Option<&str>| Report::NotExecuted {
            errno: 13,
            place: place.map(str::to_owned),
        };
        let before = [Report::Made(9), said("failed to execute")];
        let of = |place| outcome(&[before.to_vec(), vec![report(place)]].concat()).0;
        assert_eq!(of(None), Outcome::NotFound);
        assert_eq!(
            of(Some("/bin/x")),
            Outcome::NotExecuted {
                errno: 13,
                place: "/bin/x".into()
            }
        );
    }

    #[test]
    fn a_message_is_a_line_as_it_is_drawn() {
        let order = Order {
            place: Place::Container {
                bundle: "/run/b".into(),
            },
            state: "/run/s".into(),
            pid_file: "/run/p".into(),
            places: vec!["/bin/sh".into()],
            has_terminal: true,
        };
        assert_eq!(
            serde_json::to_string(&order).unwrap(),
            r#"{"place":{"container":{"bundle":"/run/b"}},"state":"/run/s","pid_file":"/run/p","places":["/bin/sh"],"has_terminal":true}"#
        );
        let text = r#"{"not-executed":{"errno":2,"place":null}}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(
            report,
            Report::NotExecuted {
                errno: 2,
                place: None
            }
        );
    }
}
