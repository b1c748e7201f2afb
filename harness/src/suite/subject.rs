//! A subject: how a driver and a logmon are started, and which of them is judged. (core)

use std::collections::BTreeSet;

use crate::adapter::{AdapterKind, DriverPlugin, hosted_behind};
use crate::bundled_pair::{
    BUNDLED_DRIVER, BUNDLED_EXECUTOR, BUNDLED_EXECUTOR_SERVE, BUNDLED_LOGMON, EXECUTOR,
    EXECUTOR_CAPABILITIES, kept_logmon,
};
use crate::capability::{Capability, Declarer};
use crate::case::{Case, ReadySign};
use crate::rule::Role;
use crate::scenario::Scenario;
use crate::serving::{BUNDLED_SERVING, Serving, ServingError, ServingTemplates};
use crate::template::{self, TemplateError, Values};

/// A pair of driver and logmon, at least one of them under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The driver's command template, as words; not empty.
    pub driver: Vec<String>,
    /// How it is reached.
    pub adapter: AdapterKind,
    /// What the driver is told to run in the payload's place; only if it is spoken to.
    pub instead_of_task: Option<String>,
    /// What driver and logmon declare, and what the machine allows.
    pub capabilities: BTreeSet<Capability>,
    /// logmon's command template, as words; not empty.
    pub logmon: Vec<String>,
    /// What tells that it is ready. A probe finds it out.
    pub ready_sign: ReadySign,
    /// Its template for the cases that need `keeps-descriptors`, if it is another one: the bundled
    /// logmon is judged with and without somebody who holds its descriptors.
    pub kept_logmon: Option<Vec<String>>,
    /// How logmon is started for many tasks, if it can serve many.
    pub serving: Option<Serving>,
    /// Whose rules are judged: never empty. The host belongs to it only if the pair is the
    /// bundled one, because the suite itself plays the host.
    pub under_test: BTreeSet<Role>,
}

/// A command template that can't be a subject.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// The template can't be split into words, or names something unknown.
    #[error("--{which} {template:?}")]
    Template {
        /// `driver` or `logmon`.
        which: &'static str,
        /// As it was given.
        template: String,
        /// Why.
        source: TemplateError,
    },
    /// The template is empty.
    #[error("--{which} is empty; give the command that starts it")]
    Empty {
        /// `driver` or `logmon`.
        which: &'static str,
    },
    /// The templates for many tasks can't be used.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// A capability that is no matter of a declaration.
    #[error(
        "--capability {capability} is not declared: {}",
        match (capability.declarer(), capability) {
            (Declarer::Machine, _) => "the suite asks the machine for it; `harness doctor` tells what it found",
            (_, Capability::Recover) => "only a driver that is given by --driver-stdio can be asked to take its tasks over, and such a driver says so in its answer to `hello`; see docs/adapters.md",
            (_, Capability::ManyTasks) => "give --logmon-serve, --logmon-start and --logmon-stop",
            (_, Capability::ByteLimits) => "put {max_file_bytes} into the template of logmon",
            (_, Capability::StartAgain) => "put {start} into the template of logmon",
            (_, _) => "put {on_full} into the template of logmon",
        }
    )]
    NotDeclared {
        /// The capability.
        capability: Capability,
    },
    /// A driver's template says nothing of the task.
    #[error(
        "--driver {template:?} has neither {{task}} nor {{script}}: nothing tells the driver what \
         to run; put {{task}} where the task's command line goes, for instance \
         --driver \"sh -c 'exec {{task}} >{{stdout}} 2>{{stderr}}'\""
    )]
    NoTask {
        /// As it was given.
        template: String,
    },
}

impl Subject {
    /// The bundled mock driver with the bundled logmon: everything is judged.
    ///
    /// # Panics
    /// Never: both templates are constants, and a test splits them.
    #[must_use]
    pub fn bundled() -> Self {
        Self {
            driver: words("driver", BUNDLED_DRIVER).expect("a test splits the constant"),
            adapter: AdapterKind::Command,
            instead_of_task: None,
            capabilities: with_many_tasks(with_what_it_says(
                Self::bundled_driver_capabilities(),
                BUNDLED_LOGMON,
            )),
            logmon: words("logmon", BUNDLED_LOGMON).expect("a test splits the constant"),
            ready_sign: ReadySign::Line,
            kept_logmon: Some(words("logmon", &kept_logmon()).expect("a test splits the constant")),
            serving: Some(Serving::new(&BUNDLED_SERVING).expect("a test splits the constants")),
            under_test: BTreeSet::from([Role::Driver, Role::Logmon, Role::Host]),
        }
    }

    /// What the bundled mock driver declares.
    #[must_use]
    pub fn bundled_driver_capabilities() -> BTreeSet<Capability> {
        let mut all = Capability::of_any_command();
        all.extend([
            Capability::Forwards,
            Capability::NoLogCollection,
            Capability::ChecksPaths,
            Capability::Contains,
        ]);
        all
    }

    /// The subject that a command line asks for. What is not given is the bundled program, and is
    /// then the reference, not judged. As a driver, [`EXECUTOR`] stands for the bundled executor. `declared` is added to what any command template can do;
    /// without a driver it is added to what the bundled one declares.
    ///
    /// # Errors
    /// A template that can't be used, by its flag.
    pub fn from_templates(
        driver: Option<&str>,
        logmon: Option<&str>,
        declared: &BTreeSet<Capability>,
    ) -> Result<Self, SubjectError> {
        if let Some(&capability) = declared.iter().find(|one| !one.is_declared_by_hand()) {
            return Err(SubjectError::NotDeclared { capability });
        }
        let mut subject = Self::bundled();
        if driver.is_some() || logmon.is_some() {
            subject.under_test.clear();
        }
        if let Some(template) = driver {
            let (template, own) = match template {
                EXECUTOR => (BUNDLED_EXECUTOR, EXECUTOR_CAPABILITIES),
                _ => (template, &[][..]),
            };
            subject.driver = words("driver", template)?;
            if !template.contains("{task}") && !template.contains("{script}") {
                return Err(SubjectError::NoTask {
                    template: template.to_owned(),
                });
            }
            subject.capabilities = with_many_tasks(with_what_it_says(
                Capability::of_any_command(),
                BUNDLED_LOGMON,
            ));
            subject.capabilities.extend(own);
            subject.under_test.insert(Role::Driver);
        }
        if let Some(template) = logmon {
            let given = words("logmon", template)?;
            if given != subject.logmon {
                subject.ready_sign = ReadySign::Unknown;
                subject.kept_logmon = None;
                subject.serving = None;
                subject.capabilities.remove(&Capability::ManyTasks);
            }
            subject.logmon = given;
            subject.capabilities = with_what_it_says(subject.capabilities, template);
            subject.under_test.insert(Role::Logmon);
        }
        subject.capabilities.extend(declared);
        Ok(subject)
    }

    /// The subject that a case was played with.
    #[must_use]
    pub fn of_case(case: &Case) -> Self {
        let mut under_test = BTreeSet::new();
        if !case.has_bundled_driver() {
            under_test.insert(Role::Driver);
        }
        if !case.has_bundled_logmon() {
            under_test.insert(Role::Logmon);
        }
        if under_test.is_empty() {
            under_test = Self::bundled().under_test;
        }
        Self {
            driver: case.driver.clone(),
            adapter: case.adapter,
            instead_of_task: case.instead_of_task.clone(),
            capabilities: case.driver_capabilities.clone(),
            logmon: case.logmon.clone(),
            ready_sign: case.ready_sign,
            kept_logmon: None,
            serving: case.serving.clone(),
            under_test,
        }
    }

    /// The subject with a driver that is spoken to, in place of the bundled one. `declared` is what it
    /// says of itself; what is not a driver's to say is left out.
    ///
    /// # Errors
    /// A template that can't be used.
    pub fn spoken_to(
        mut self,
        template: &str,
        declared: &BTreeSet<Capability>,
    ) -> Result<Self, SubjectError> {
        self.driver = words(DRIVER_STDIO, spoken_template(template))?;
        if self.is_bundled() {
            self.under_test.clear();
        }
        self.under_test.insert(Role::Driver);
        self.adapter = AdapterKind::Stdio;
        self.capabilities
            .retain(|one| one.declarer() != Declarer::Driver);
        let own = declared
            .iter()
            .filter(|one| one.declarer() == Declarer::Driver);
        self.capabilities.extend(own);
        Ok(self)
    }

    /// The words that start a driver that is spoken to.
    ///
    /// # Errors
    /// A template that can't be used.
    pub fn stdio_words(template: &str, reexec: &[String]) -> Result<Vec<String>, SubjectError> {
        let words = words(DRIVER_STDIO, spoken_template(template))?;
        let single = [("self", shell_words::join(reexec))].into();
        let task = Vec::new();
        let each = |word: String| match word.as_str() {
            "{self}" => reexec.to_vec(),
            _ => vec![word],
        };
        let words: Vec<String> = words.into_iter().flat_map(each).collect();
        template::expand(&words, &Values { task, single }).map_err(|source| {
            SubjectError::Template {
                which: DRIVER_STDIO,
                template: template.to_owned(),
                source,
            }
        })
    }

    /// The subject with a logmon that serves many tasks as these templates say.
    ///
    /// # Errors
    /// A template that can't be used, by its option; or there is no logmon of the subject's own.
    pub fn serving(mut self, templates: &ServingTemplates<'_>) -> Result<Self, SubjectError> {
        let serving = Serving::new(templates)?;
        if !self.tests_logmon() || self.is_bundled() {
            return Err(ServingError::NoLogmon.into());
        }
        self.serving = Some(serving);
        self.capabilities.insert(Capability::ManyTasks);
        Ok(self)
    }

    /// Whether the pair can do what a case needs.
    #[must_use]
    pub fn can(&self, need: Capability) -> bool {
        let is_kept = need == Capability::KeepsDescriptors && self.kept_logmon.is_some();
        is_kept || self.capabilities.contains(&need)
    }

    /// The template of logmon for a case.
    #[must_use]
    pub fn logmon_for(&self, scenario: &Scenario) -> &[String] {
        match &self.kept_logmon {
            Some(kept) if scenario.needs().contains(&Capability::KeepsDescriptors) => kept,
            Some(_) | None => &self.logmon,
        }
    }

    /// Whether a case is played with another template of logmon than most.
    #[must_use]
    pub fn plays_kept(&self, scenario: &Scenario) -> bool {
        self.logmon_for(scenario) != self.logmon
    }

    /// The subject on a machine that allows these capabilities of its own, whatever was declared.
    #[must_use]
    pub fn on(mut self, machine: &BTreeSet<Capability>) -> Self {
        self.capabilities
            .retain(|one| one.declarer() != Declarer::Machine);
        self.capabilities.extend(machine);
        self
    }

    /// Whether the driver is judged.
    #[must_use]
    pub fn tests_driver(&self) -> bool {
        self.under_test.contains(&Role::Driver)
    }

    /// Whether logmon is judged.
    #[must_use]
    pub fn tests_logmon(&self) -> bool {
        self.under_test.contains(&Role::Logmon)
    }

    /// Whether this is the bundled pair.
    #[must_use]
    pub fn is_bundled(&self) -> bool {
        self.under_test.contains(&Role::Host)
    }

    /// One line that names what is judged and what it is judged with.
    #[must_use]
    pub fn describe(&self) -> String {
        let driver = match DriverPlugin::behind(&self.driver) {
            Some(plugin) => format!("driver plugin `{}`", plugin.command()),
            None => format!("driver `{}`", shell_words::join(&self.driver)),
        };
        let logmon = match hosted_behind(&self.logmon) {
            Some(collector) => format!("logmon plugin `{collector}`"),
            None => format!("logmon `{}`", shell_words::join(&self.logmon)),
        };
        match (self.is_bundled(), self.tests_driver(), self.tests_logmon()) {
            (true, _, _) => "the bundled mock driver with the bundled logmon".to_owned(),
            (false, true, true) => format!("{driver} with {logmon}"),
            (false, true, false) => format!("{driver} with the bundled logmon"),
            (false, false, _) => format!("{logmon} with the bundled mock driver"),
        }
    }
}

/// The placeholders of a driver's template beside `{task}`.
const DRIVER_PLACEHOLDERS: &[&str] = &[
    "driver_journal",
    "gates",
    "generation",
    "id",
    "journal",
    "log_dir",
    "run",
    "script",
    "self",
    "stderr",
    "stdout",
    "task_dir",
];

/// The option of a driver that is spoken to, without its dashes.
const DRIVER_STDIO: &str = "driver-stdio";

/// The placeholders of a logmon's template.
const LOGMON_PLACEHOLDERS: &[&str] = &[
    "id",
    "keep_dir",
    "line_guard",
    "log_dir",
    "max_file_bytes",
    "max_file_mb",
    "max_files",
    "on_full",
    "self",
    "start",
    "stderr_fifo",
    "stderr_name",
    "stdout_fifo",
    "stdout_name",
    "task_dir",
];

/// What a logmon is told in its template, it declares by that: what to do on a full disk is one.
fn with_what_it_says(mut all: BTreeSet<Capability>, logmon: &str) -> BTreeSet<Capability> {
    for (placeholder, capability) in [
        ("{on_full}", Capability::DropPolicy),
        ("{max_file_bytes}", Capability::ByteLimits),
        ("{start}", Capability::StartAgain),
    ] {
        if logmon.contains(placeholder) {
            all.insert(capability);
        } else {
            all.remove(&capability);
        }
    }
    all
}

/// The template of a driver that is spoken to, which may be meant by its name.
fn spoken_template(template: &str) -> &str {
    match template {
        EXECUTOR => BUNDLED_EXECUTOR_SERVE,
        _ => template,
    }
}

/// A logmon with the commands for many tasks declares by them that it can serve them.
fn with_many_tasks(mut all: BTreeSet<Capability>) -> BTreeSet<Capability> {
    all.insert(Capability::ManyTasks);
    all
}

/// A template's words, with every placeholder known.
fn words(which: &'static str, template: &str) -> Result<Vec<String>, SubjectError> {
    let wrong = |source| SubjectError::Template {
        which,
        template: template.to_owned(),
        source,
    };
    if template.trim().is_empty() {
        return Err(SubjectError::Empty { which });
    }
    let words = template::split(template).map_err(wrong)?;
    let (names, task) = match which {
        "driver" => (DRIVER_PLACEHOLDERS, vec!["task".to_owned()]),
        // What differs from task to task is told in `start`.
        DRIVER_STDIO => (&["self"][..], Vec::new()),
        _ => (LOGMON_PLACEHOLDERS, Vec::new()),
    };
    let single = names
        .iter()
        .map(|name| (*name, (*name).to_owned()))
        .collect();
    template::expand(&words, &Values { task, single }).map_err(wrong)?;
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundled_pair::is_bundled_logmon;

    #[test]
    fn the_bundled_pair_is_judged_as_a_whole() {
        let subject = Subject::bundled();
        assert!(subject.tests_driver() && subject.tests_logmon() && subject.is_bundled());
        assert_eq!(subject.driver.first().map(String::as_str), Some("{self}"));
    }

    #[test]
    fn the_bundled_logmon_has_a_keeper_only_where_a_case_needs_one() {
        let case = |needs: &str| {
            let text = format!(
                "id = \"mon/x\"\ntitle = \"It works.\"\nrules = [\"MON-9\"]\n{needs}\n\
                 [[plan]]\ndo = \"start-logmon\"\n"
            );
            crate::scenario::expand(&text, "x.toml").unwrap().remove(0)
        };
        let (bare, kept) = (case(""), case("needs = [\"keeps-descriptors\"]"));
        let bundled = Subject::bundled();
        assert!(bundled.can(Capability::KeepsDescriptors));
        assert_eq!(bundled.logmon_for(&bare), bundled.logmon);
        assert_eq!(
            bundled.logmon_for(&kept).last().map(String::as_str),
            Some("{keep_dir}/keeper.sock")
        );
        assert!(bundled.plays_kept(&kept) && !bundled.plays_kept(&bare));
        for case in [&bare, &kept] {
            assert!(is_bundled_logmon(bundled.logmon_for(case)));
        }
        let given = Subject::from_templates(None, Some(BUNDLED_LOGMON), &BTreeSet::new()).unwrap();
        assert_eq!(given.kept_logmon, bundled.kept_logmon);
        let own = Subject::from_templates(None, Some("mine"), &BTreeSet::new()).unwrap();
        assert!(!own.can(Capability::KeepsDescriptors) && !own.plays_kept(&kept));
        assert!(!is_bundled_logmon(&own.logmon));
        let declared = BTreeSet::from([Capability::KeepsDescriptors]);
        let own = Subject::from_templates(None, Some("mine"), &declared).unwrap();
        assert!(own.can(Capability::KeepsDescriptors));
        assert_eq!(own.logmon_for(&kept), ["mine"]);
    }

    #[test]
    fn a_given_driver_alone_is_judged_and_declares_only_what_was_said() {
        let declared = BTreeSet::from([Capability::Merged]);
        let subject =
            Subject::from_templates(Some("sh -c 'exec {task}'"), None, &declared).unwrap();
        assert!(subject.tests_driver() && !subject.tests_logmon() && !subject.is_bundled());
        assert!(subject.capabilities.contains(&Capability::Merged));
        assert!(!subject.capabilities.contains(&Capability::Forwards));
        assert_eq!(subject.driver, ["sh", "-c", "exec {task}"]);
    }

    #[test]
    fn a_logmon_that_is_told_what_to_do_on_a_full_disk_declares_it() {
        let declares = |driver: Option<&str>, logmon: Option<&str>| {
            let subject = Subject::from_templates(driver, logmon, &BTreeSet::new()).unwrap();
            subject.capabilities.contains(&Capability::DropPolicy)
        };
        assert!(declares(None, None));
        assert!(declares(Some("drv {task}"), None));
        assert!(declares(None, Some("mon --on-full {on_full}")));
        assert!(!declares(None, Some("mon")));
        assert!(!declares(Some("drv {task}"), Some("mon")));
    }

    #[test]
    fn a_logmon_with_commands_for_many_tasks_declares_them() {
        let of =
            |logmon: Option<&str>| Subject::from_templates(None, logmon, &BTreeSet::new()).unwrap();
        let can = |subject: &Subject| subject.can(Capability::ManyTasks);
        assert!(can(&of(None)) && can(&of(Some(BUNDLED_LOGMON))));
        let own = of(Some("mine"));
        assert!(!can(&own) && own.serving.is_none());
        let own = own.serving(&BUNDLED_SERVING).unwrap();
        assert!(can(&own) && own.serving == Subject::bundled().serving);
        for none in [
            of(None),
            Subject::from_templates(Some("d {task}"), None, &BTreeSet::new()).unwrap(),
        ] {
            let text = none.serving(&BUNDLED_SERVING).unwrap_err().to_string();
            assert!(text.contains("give --logmon"), "{text}");
        }
    }

    #[test]
    fn what_the_machine_allows_and_what_the_template_says_is_not_declared() {
        for (capability, way_out) in [
            (Capability::StorageFaults, "harness doctor"),
            (Capability::DropPolicy, "{on_full}"),
            (Capability::ByteLimits, "{max_file_bytes}"),
            (Capability::StartAgain, "{start}"),
            (Capability::ManyTasks, "--logmon-serve"),
        ] {
            let declared = BTreeSet::from([capability]);
            let refused = Subject::from_templates(None, None, &declared).unwrap_err();
            let text = refused.to_string();
            assert!(text.contains(&capability.to_string()), "{text}");
            assert!(text.contains(way_out), "{text}");
        }
        let subject = Subject::bundled();
        let allows = |machine: &[Capability]| {
            let machine = machine.iter().copied().collect();
            let subject = subject.clone().on(&machine);
            subject.capabilities.contains(&Capability::StorageFaults)
        };
        assert!(!allows(&[]));
        assert!(allows(&[Capability::StorageFaults]));
    }

    #[test]
    fn a_driver_that_is_told_nothing_of_the_task_is_refused() {
        let error =
            Subject::from_templates(Some("./mydriver"), None, &BTreeSet::new()).unwrap_err();
        assert!(error.to_string().contains("{task}"), "{error}");
        let error = Subject::from_templates(Some("  "), None, &BTreeSet::new()).unwrap_err();
        assert!(error.to_string().contains("is empty"), "{error}");
    }
}
