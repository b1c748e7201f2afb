//! The subjects whose behaviour is known: the good ones and the faulty ones. (core)

use super::logmons::{faulty_logmon, logmon_catch};
use super::plugged;
use crate::adapter::AdapterKind;
use crate::faulty_logmon::Fault as LogmonFault;
use crate::finding::Shape;
use crate::serving::ServingTemplates;
use crate::suite::{Subject, SubjectError};

/// Which side of the contract a subject plays; the other side is the bundled program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// It is a driver.
    Driver,
    /// It is a logmon.
    Logmon,
}

impl Part {
    /// `driver` or `logmon`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Logmon => "logmon",
        }
    }
}

/// A subject whose behaviour is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name; a driver and a logmon may have the same one.
    pub name: String,
    /// What it is.
    pub part: Part,
    /// How it is started. `{examples}` stands for the folder of the example drivers.
    pub template: String,
    /// How it is started for many tasks, if it can serve many: its process, a start, and a stop.
    pub serving: Option<[String; 3]>,
    /// How it is reached, if it is a driver.
    pub adapter: AdapterKind,
    /// Capabilities that it declares: beside what any command can do, or all, if it is spoken to.
    pub capabilities: &'static [&'static str],
    /// What is expected of it.
    pub kind: Kind,
}

impl Known {
    /// The subject, started by this template: its own, with the examples' folder filled in.
    ///
    /// # Errors
    /// A template that can't be used.
    pub fn subject(&self, template: &str) -> Result<Subject, SubjectError> {
        // A test reads every name.
        let names = self.capabilities.iter();
        let declared = names.filter_map(|name| name.parse().ok()).collect();
        let subject = match (self.part, self.adapter) {
            (Part::Driver, AdapterKind::Command) => {
                Subject::from_templates(Some(template), None, &declared)
            }
            (Part::Driver, AdapterKind::Stdio) => Subject::bundled().spoken_to(template, &declared),
            (Part::Logmon, _) => Subject::from_templates(None, Some(template), &declared),
        };
        self.with_serving(subject?)
    }

    /// The name that a diagnosis gives to its damage: a fault is the same one however its driver is reached.
    #[must_use]
    pub fn cause(&self) -> &str {
        self.name
            .strip_prefix(plugged::PREFIX)
            .unwrap_or(&self.name)
    }

    /// Why it is only played if it is named; none if it always is. What a driver that is spoken to does
    /// otherwise, the bundled ones do as well.
    #[must_use]
    pub fn left_out(&self) -> Option<(&'static str, &'static str)> {
        if self.name.starts_with(plugged::PREFIX) {
            return Some((
                plugged::ALL,
                "they take about two minutes: name them with --filter",
            ));
        }
        let is_example = matches!(self.kind, Kind::Good { program: Some(_) });
        (self.adapter == AdapterKind::Stdio && is_example).then_some((
            "stdio-*",
            "they take about a minute: name them with --filter",
        ))
    }

    /// Whether it is a program that `harness run` plays where it is told of no other one.
    #[must_use]
    pub fn is_bundled(&self) -> bool {
        self.template == crate::bundled_pair::BUNDLED_DRIVER
            || self.template == crate::bundled_pair::BUNDLED_LOGMON
    }

    /// The subject with the commands for many tasks, if it has some of its own.
    fn with_serving(&self, subject: Subject) -> Result<Subject, SubjectError> {
        match &self.serving {
            None => Ok(subject),
            Some([serve, start, stop]) => subject.serving(&ServingTemplates { serve, start, stop }),
        }
    }
}

/// What is expected of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Passes every case that applies. Left out, by name, on a machine without this program.
    Good {
        /// The program.
        program: Option<&'static str>,
    },
    /// Is caught.
    Faulty(Catch),
}

/// The case that must catch a faulty subject, and the shape that it must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catch {
    /// The case's id.
    pub case: &'static str,
    /// The shape of one of its findings.
    pub shape: Shape,
}

/// The name of a driver's fault, the case that must catch it, and the shape.
pub(super) type Fault = (&'static str, &'static str, Shape);

/// What a direct driver of ours declares that is spoken to, as it does in its answer to `hello`.
const SPOKEN_TO: &[&str] = &[
    "signals",
    "multi-writer",
    "no-log-collection",
    "checks-paths",
    "payload.exec",
];

/// What one declares that can recover, as the examples do.
const RECOVERS: &[&str] = &[
    "signals",
    "multi-writer",
    "no-log-collection",
    "checks-paths",
    "payload.exec",
    "recover",
];

/// What one declares that can recover and forwards.
pub(super) const RECOVERS_AND_FORWARDS: &[&str] = &[
    "forwards",
    "signals",
    "multi-writer",
    "no-log-collection",
    "checks-paths",
    "payload.exec",
    "recover",
    "contains",
];

/// What the executor declares that is spoken to.
pub(super) const RECOVERS_AND_CONTAINS: &[&str] = &[
    "signals",
    "multi-writer",
    "no-log-collection",
    "checks-paths",
    "payload.exec",
    "recover",
    "contains",
];

/// What the mock driver declares.
const MOCK: &[&str] = &["forwards", "no-log-collection", "checks-paths", "contains"];

/// Every subject: good drivers, good logmons, faulty drivers, faulty logmons.
#[must_use]
pub fn catalogue() -> Vec<Known> {
    let mut all = good();
    all.extend(DRIVERS.iter().map(|(name, case, shape)| Known {
        name: (*name).to_owned(),
        part: Part::Driver,
        template: format!(
            "{{self}} mock-driver run --fault {name} --stdout {{stdout}} --stderr {{stderr}} \
             --journal {{driver_journal}} -- {{task}}"
        ),
        serving: None,
        adapter: AdapterKind::Command,
        capabilities: MOCK,
        kind: Kind::Faulty(Catch {
            case,
            shape: *shape,
        }),
    }));
    all.extend(RECOVERIES.iter().map(|(name, case, shape)| Known {
        name: (*name).to_owned(),
        part: Part::Driver,
        template: format!("{MOCK_STDIO} --fault {name}"),
        serving: None,
        adapter: AdapterKind::Stdio,
        capabilities: RECOVERS_AND_FORWARDS,
        kind: Kind::Faulty(Catch {
            case,
            shape: *shape,
        }),
    }));
    all.extend(plugged::faulty());
    all.extend(LogmonFault::ALL.iter().filter_map(|fault| {
        let (case, shape) = logmon_catch(*fault)?;
        Some(faulty_logmon(
            fault.as_str(),
            Kind::Faulty(Catch { case, shape }),
        ))
    }));
    all
}

/// How the bundled driver is started that is spoken to.
const MOCK_STDIO: &str = "{self} mock-driver stdio";

fn good() -> Vec<Known> {
    let driver = |name: &str, template: &str, capabilities, program| Known {
        name: name.to_owned(),
        part: Part::Driver,
        template: template.to_owned(),
        serving: None,
        adapter: AdapterKind::Command,
        capabilities,
        kind: Kind::Good { program },
    };
    let spoken_to = |name: &str, template: &str, capabilities, program| Known {
        adapter: AdapterKind::Stdio,
        ..driver(name, template, capabilities, program)
    };
    vec![
        driver("mock-run", crate::bundled_pair::BUNDLED_DRIVER, MOCK, None),
        driver(
            "mock-play",
            "{self} mock-driver play --stdout {stdout} --stderr {stderr} --script {script} \
             --run {run} --generation {generation} --gates {gates} --journal {journal}",
            MOCK,
            None,
        ),
        driver(
            crate::bundled_pair::EXECUTOR,
            crate::bundled_pair::BUNDLED_EXECUTOR,
            &["no-log-collection", "checks-paths", "contains"],
            None,
        ),
        driver(
            "shell",
            "sh -c 'exec {task} >{stdout} 2>{stderr}'",
            &[],
            Some("sh"),
        ),
        driver(
            "bash",
            "bash {examples}/bash_driver.sh --out {stdout} --err {stderr} -- {task}",
            &["no-log-collection", "checks-paths"],
            Some("bash"),
        ),
        driver(
            "python",
            "python3 {examples}/python_driver.py --out {stdout} --err {stderr} -- {task}",
            &["forwards", "no-log-collection", "checks-paths"],
            Some("python3"),
        ),
        spoken_to(
            "stdio-bash",
            "bash {examples}/stdio_driver.sh",
            SPOKEN_TO,
            Some("bash"),
        ),
        spoken_to(
            "stdio-python",
            "python3 {examples}/stdio_driver.py",
            RECOVERS,
            Some("python3"),
        ),
        spoken_to("mock-stdio", MOCK_STDIO, RECOVERS_AND_FORWARDS, None),
        spoken_to(
            "executor-serve",
            crate::bundled_pair::BUNDLED_EXECUTOR_SERVE,
            RECOVERS_AND_CONTAINS,
            None,
        ),
        plugged::good(),
        plugged::executing(),
        Known {
            name: "logmon".to_owned(),
            part: Part::Logmon,
            template: crate::bundled_pair::BUNDLED_LOGMON.to_owned(),
            serving: None,
            adapter: AdapterKind::Command,
            capabilities: &[],
            kind: Kind::Good { program: None },
        },
        faulty_logmon(LogmonFault::None.as_str(), Kind::Good { program: None }),
    ]
}

/// The mock driver's faults: name, the case that must catch it, and the shape.
pub(super) const DRIVERS: &[Fault] = &[
    (
        "dies-of-sigpipe",
        "mon/kill-empty-pipe-bare",
        Shape::WriterKilled,
    ),
    (
        "drops-on-epipe",
        "mon/kill-empty-pipe-bare",
        Shape::LostMiddle,
    ),
    (
        "close-then-reopen",
        "mon/kill-full-pipe-bare",
        Shape::LostPipeContent,
    ),
    (
        "resends-last-record",
        "mon/kill-full-pipe-bare",
        Shape::Repeated,
    ),
    (
        "restarts-task-on-epipe",
        "mon/kill-empty-pipe-bare",
        Shape::Restarted,
    ),
    ("drops-on-eagain", "fifo/frozen-reader", Shape::LostMiddle),
    (
        "resends-after-short-write",
        "fifo/tiny-pipe",
        Shape::Repeated,
    ),
    ("gives-up-on-enxio", "fifo/late-reader", Shape::LostAll),
    ("gives-up-after-1s", "fifo/very-late-reader", Shape::LostAll),
    ("creates-plain-file", "data/smoke", Shape::FifoReplaced),
    ("replaces-fifo", "data/smoke", Shape::FifoReplaced),
    (
        "opens-read-write-and-exits-first",
        "fifo/late-reader",
        Shape::LostAll,
    ),
    (
        "loses-unterminated-tail",
        "data/no-final-newline",
        Shape::LostTail,
    ),
    (
        "child-keeps-fifo",
        "fifo/eof-after-exit-without",
        Shape::NoEof,
    ),
    ("torn-writers", "data/concurrent-writers", Shape::Torn),
    ("block-buffers", "data/prompt", Shape::Late),
    ("merges-streams", "data/smoke", Shape::StreamsMixed),
    ("swaps-streams", "data/smoke", Shape::StreamsMixed),
    ("adds-prefix", "data/smoke", Shape::Altered),
    ("crlf", "data/smoke", Shape::Altered),
    (
        "skips-silent-stream",
        "fifo/silent-stream",
        Shape::StreamNotOpened,
    ),
    (
        "blocks-start-without-reader",
        "fifo/start-without-reader",
        Shape::Blocked,
    ),
    ("leaks-fd-per-restart", "life/restarts-100", Shape::GrowthFd),
    ("closes-early", "life/short-lived", Shape::LostMiddle),
    ("truncates-at-nul", "data/binary", Shape::LostMiddle),
    ("wrong-exit-code", "life/exit-code", Shape::WrongExit),
    ("reports-0-on-stop", "life/stop", Shape::WrongExit),
    ("reads-own-fifo", "fifo/never-reads", Shape::ForeignReader),
    ("leaks-fifo-into-task", "data/smoke", Shape::BadInheritance),
    (
        "ignores-sigpipe-for-task",
        "data/smoke",
        Shape::BadInheritance,
    ),
    ("deaf-to-stop", "life/stop-blocked", Shape::Blocked),
    (
        "waits-for-children",
        "life/child-holds-streams",
        Shape::Blocked,
    ),
    ("disabled-through-pipe", "fifo/disabled", Shape::NotNull),
    (
        "trusts-the-path",
        "fifo/no-fifo-plain-file",
        Shape::Accepted,
    ),
    ("follows-the-link", "fifo/no-fifo-symlink", Shape::Accepted),
    ("opens-per-chunk", "fifo/opened-once", Shape::Reopened),
    ("sockets-for-streams", "sec/dev-stdout", Shape::NotOpenable),
    (
        "forgets-task-on-early-stop",
        "life/storm",
        Shape::LeftBehind,
    ),
    ("logs-into-log-folder", "data/smoke", Shape::StrayFile),
    (
        "kills-only-the-leader",
        "life/stop-family-inside",
        Shape::LeftBehind,
    ),
    (
        "leaves-orphans",
        "life/stop-family-outside",
        Shape::LeftBehind,
    ),
];

/// The faults of the mock driver that is spoken to, likewise.
pub(super) const RECOVERIES: &[Fault] = &[
    ("loses-gap", "life/recover-detached", Shape::LostMiddle),
    ("repeats-gap", "life/recover-crashed", Shape::Repeated),
    (
        "restarts-on-recover",
        "life/recover-detached",
        Shape::Restarted,
    ),
    (
        "kills-on-recover",
        "life/recover-no-logmon-bare",
        Shape::WriterKilled,
    ),
    (
        "hangs-in-recover",
        "life/recover-fifos-unread",
        Shape::Blocked,
    ),
    ("guesses-success", "life/recover-ended", Shape::WrongExit),
    (
        "takes-pause-for-death",
        "life/frozen-driver",
        Shape::WrongExit,
    ),
    ("leaks-fd-into-next-task", "fifo/second-task", Shape::NoEof),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::capability::Capability;
    use crate::scenario::{expand, shipped};

    #[test]
    fn every_named_case_is_shipped() {
        let ids: BTreeSet<String> = shipped()
            .into_iter()
            .flat_map(|(path, text)| expand(text, path).unwrap())
            .map(|scenario| scenario.id)
            .collect();
        for known in catalogue() {
            if let Kind::Faulty(catch) = known.kind {
                assert!(ids.contains(catch.case), "{}: {}", known.name, catch.case);
            }
        }
    }

    #[test]
    fn every_fault_of_the_mock_driver_must_be_caught() {
        use clap::ValueEnum;
        use mock_driver::{RecoveryFault, fault};
        fn named<T: ValueEnum>() -> BTreeSet<String> {
            let names = T::value_variants().iter().map(ValueEnum::to_possible_value);
            names
                .flatten()
                .map(|value| value.get_name().to_owned())
                .collect()
        }
        let listed = |all: &[Fault]| -> BTreeSet<String> {
            all.iter().map(|(name, _, _)| (*name).to_owned()).collect()
        };
        assert_eq!(listed(DRIVERS), named::<fault::Fault>());
        assert_eq!(listed(RECOVERIES), named::<RecoveryFault>());
    }

    #[test]
    fn every_template_is_a_subject() {
        for known in catalogue() {
            let template = known.template.replace("{examples}", "/examples");
            let declared: BTreeSet<Capability> = known
                .capabilities
                .iter()
                .map(|name| name.parse().unwrap())
                .collect();
            assert_eq!(declared.len(), known.capabilities.len(), "{}", known.name);
            known.subject(&template).unwrap();
        }
    }
}
