//! From a scenario file's text to its cases. (core)
//!
//! A file with a `[matrix]` stands for one case per combination of values: `{axis}` in any text
//! becomes the value, and steps, needs and script steps with an `only` that does not match are left
//! out. A text that is nothing but `{axis}` becomes a number if the value is one. Everything is
//! checked here, so that a case that starts to play makes sense.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mock_driver::script::Script;
use serde::Deserialize;
use toml::{Table, Value};

use super::check;
use super::limits::Limits;
use super::model::{Action, Need, Scenario, Step};
use super::parts;
use crate::capability::Capability;
use crate::rule::{Profile, Role, Spec};

/// The most cases that one file may stand for.
const MAX_VARIANTS: usize = 256;

/// What is wrong with a scenario file.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is not TOML.
    #[error("{path}: not a TOML file")]
    Toml {
        /// The file.
        path: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key is unknown, missing or of the wrong type.
    #[error("{path}: {key}: {problem}")]
    Shape {
        /// The file.
        path: String,
        /// The key, or the step's place (`plan 3`).
        key: String,
        /// What the reader says.
        problem: String,
    },
    /// A script makes no sense.
    #[error("{path}: tasks.{task}")]
    Script {
        /// The file.
        path: String,
        /// The script's name.
        task: String,
        /// Why.
        source: Box<mock_driver::script::ScriptError>,
    },
    /// A value makes no sense.
    #[error("{path}: {key}: {problem}; {fix}")]
    Wrong {
        /// The file.
        path: String,
        /// The key, or the step's place (`plan 3`).
        key: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        fix: String,
    },
}

/// The cases of a scenario file, in the order of the matrix, the last axis changing fastest.
///
/// `path` serves for messages only.
///
/// # Errors
/// The first thing that is wrong, with the file, the key and what to do.
pub fn expand(text: &str, path: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let table: Table = toml::from_str(text).map_err(|source| ScenarioError::Toml {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let file = File { path };
    let matrix = file.matrix(&table)?;
    let mut scenarios = Vec::new();
    let mut ids = BTreeSet::new();
    for variant in variants(&matrix) {
        let scenario = file.scenario(&table, &matrix, &variant)?;
        check::scenario(&scenario).map_err(|wrong| file.wrong(wrong))?;
        if !ids.insert(scenario.id.clone()) {
            return Err(file.wrong(Wrong::new(
                "id",
                format!("two variants have the id `{}`", scenario.id),
                "put `{axis}` of every axis into the id",
            )));
        }
        scenarios.push(scenario);
    }
    Ok(scenarios)
}

impl Scenario {
    /// Who must keep the rules that the case checks.
    #[must_use]
    pub fn roles(&self) -> BTreeSet<Role> {
        let spec = Spec::shipped();
        self.rules
            .iter()
            .filter_map(|id| spec.rule(id))
            .flat_map(|rule| rule.who.clone())
            .collect()
    }

    /// Whether a second task is started beside the one that the case is about.
    #[must_use]
    pub fn has_second_task(&self) -> bool {
        let mut plan = self.plan.iter();
        plan.any(|step| matches!(step.action, Action::StartSecondTask { .. }))
    }

    /// The capabilities without which the case does not apply.
    #[must_use]
    pub fn needs(&self) -> Vec<Capability> {
        let name = |need: &Need| match need {
            Need::Always(name)
            | Need::Sometimes {
                capability: name, ..
            } => name.parse().ok(),
        };
        let mut needs: Vec<Capability> = self.needs.iter().filter_map(name).collect();
        if !self.limits.are_megabytes() || !are_megabytes(&self.plan) {
            needs.push(Capability::ByteLimits);
        }
        needs
    }
}

/// Whether all limits that steps name can be told in megabytes.
fn are_megabytes(plan: &[Step]) -> bool {
    plan.iter().all(|step| {
        if let Action::StartLogmon { limits, .. }
        | Action::SecondLogmon { limits }
        | Action::StartAgain { limits } = &step.action
        {
            limits.as_ref().is_none_or(Limits::are_megabytes)
        } else if let Action::Repeat { plan, .. } = &step.action {
            are_megabytes(plan)
        } else {
            true
        }
    })
}

/// A value that makes no sense; the file is not known yet.
pub(super) struct Wrong {
    pub(super) key: String,
    pub(super) problem: String,
    pub(super) fix: String,
}

impl Wrong {
    pub(super) fn new(
        key: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

type Matrix = BTreeMap<String, Vec<String>>;
/// One value per axis.
type Variant<'a> = BTreeMap<&'a str, &'a str>;

fn variants(matrix: &Matrix) -> Vec<Variant<'_>> {
    let mut variants = vec![Variant::new()];
    for (axis, values) in matrix {
        variants = variants
            .into_iter()
            .flat_map(|variant| {
                values.iter().map(move |value| {
                    let mut longer = variant.clone();
                    longer.insert(axis, value);
                    longer
                })
            })
            .collect();
    }
    variants
}

struct File<'a> {
    path: &'a str,
}

impl File<'_> {
    fn wrong(&self, Wrong { key, problem, fix }: Wrong) -> ScenarioError {
        ScenarioError::Wrong {
            path: self.path.to_owned(),
            key,
            problem,
            fix,
        }
    }

    fn shape(&self, key: impl Into<String>, problem: impl ToString) -> ScenarioError {
        let problem = problem.to_string().trim().replace('\n', ", ");
        ScenarioError::Shape {
            path: self.path.to_owned(),
            key: key.into(),
            problem,
        }
    }

    fn matrix(&self, table: &Table) -> Result<Matrix, ScenarioError> {
        let Some(value) = table.get("matrix") else {
            return Ok(Matrix::new());
        };
        let matrix: Matrix = value
            .clone()
            .try_into()
            .map_err(|error| self.shape("matrix", error))?;
        for (axis, values) in &matrix {
            let key = format!("matrix.{axis}");
            let distinct: BTreeSet<&String> = values.iter().collect();
            if values.is_empty() || distinct.len() < values.len() {
                let problem = "an axis needs values, each once";
                return Err(self.wrong(Wrong::new(
                    key,
                    problem,
                    "correct the list or leave the axis out",
                )));
            }
            if matches!(axis.as_str(), "stdout_name" | "stderr_name") {
                let fix = "`{stdout_name}` and `{stderr_name}` have a meaning of their own; rename the axis";
                return Err(self.wrong(Wrong::new(key, "the name is taken", fix)));
            }
        }
        let count: usize = matrix.values().map(Vec::len).product();
        if count > MAX_VARIANTS {
            let problem = format!("{count} variants");
            return Err(self.wrong(Wrong::new(
                "matrix",
                problem,
                format!("at most {MAX_VARIANTS} are allowed"),
            )));
        }
        Ok(matrix)
    }

    fn scenario(
        &self,
        table: &Table,
        matrix: &Matrix,
        variant: &Variant<'_>,
    ) -> Result<Scenario, ScenarioError> {
        let mut table = table.clone();
        let chosen: Matrix = variant
            .iter()
            .map(|(axis, value)| ((*axis).to_owned(), vec![(*value).to_owned()]))
            .collect();
        table.remove("matrix");
        let mut value = Value::Table(table);
        let choice = Choice { matrix, variant };
        choice
            .apply(&mut value, "")
            .map_err(|wrong| self.wrong(wrong))?;
        let Value::Table(mut table) = value else {
            return Err(self.shape("file", "not a table"));
        };

        let tasks = table.remove("tasks");
        let plan = table.insert("plan".into(), Value::Array(Vec::new()));
        let (has_level, has_profile) = (table.contains_key("level"), table.contains_key("profile"));
        let mut scenario: Scenario = Value::Table(table)
            .try_into()
            .map_err(|error| self.shape("file", error))?;
        // After the keys: a misspelt one is told before what it leaves missing.
        scenario.tasks = self.tasks(tasks)?;
        scenario.plan = self.plan(plan)?;
        scenario.matrix = chosen;
        let spec = Spec::shipped();
        let rules = || scenario.rules.iter().filter_map(|id| spec.rule(id));
        // A wrong rule id is told by the check that follows.
        if !has_level && let Some(level) = rules().map(|rule| rule.level).min() {
            scenario.level = level;
        }
        if !has_profile && rules().any(|rule| rule.profile == Profile::Resilient) {
            scenario.profile = Profile::Resilient;
        }
        Ok(scenario)
    }

    fn tasks(&self, value: Option<Value>) -> Result<BTreeMap<String, Script>, ScenarioError> {
        let mut tasks = BTreeMap::new();
        let Some(value) = value else { return Ok(tasks) };
        let Value::Table(table) = value else {
            return Err(self.shape("tasks", "not a table of scripts"));
        };
        for (name, mut value) in table {
            parts::divide(&mut value, &format!("tasks.{name}"))
                .map_err(|wrong| self.wrong(wrong))?;
            let text = toml::to_string(&value)
                .map_err(|error| self.shape(format!("tasks.{name}"), error))?;
            let script = Script::parse(&text, Path::new(self.path)).map_err(|source| {
                ScenarioError::Script {
                    path: self.path.to_owned(),
                    task: name.clone(),
                    source: Box::new(source),
                }
            })?;
            tasks.insert(name, script);
        }
        Ok(tasks)
    }

    /// The steps one by one, so that an error can say which one is wrong.
    fn plan(&self, value: Option<Value>) -> Result<Vec<Step>, ScenarioError> {
        let Some(value) = value else {
            return Err(self.wrong(Wrong::new("plan", "there is none", "add `[[plan]]` steps")));
        };
        let Value::Array(steps) = value else {
            return Err(self.shape("plan", "not a list; write `[[plan]]`"));
        };
        let step = |(index, value): (usize, Value)| {
            let name = value
                .get("do")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            Step::deserialize(value)
                .map_err(|error| self.shape(format!("plan {} ({name})", index + 1), error))
        };
        steps.into_iter().enumerate().map(step).collect()
    }
}

/// A variant among all that there are.
struct Choice<'a> {
    matrix: &'a Matrix,
    variant: &'a Variant<'a>,
}

impl Choice<'_> {
    /// Puts the values in and leaves out what belongs to other variants.
    fn apply(&self, value: &mut Value, key: &str) -> Result<(), Wrong> {
        match value {
            Value::String(text) => {
                if let Some(new) = self.substitute(text) {
                    *value = new;
                }
            }
            Value::Array(items) => {
                let mut kept = Vec::with_capacity(items.len());
                for (index, mut item) in std::mem::take(items).into_iter().enumerate() {
                    let key = format!("{key} {}", index + 1);
                    if self.selects(&mut item, &key)? {
                        self.apply(&mut item, &key)?;
                        kept.push(item);
                    }
                }
                *items = kept;
            }
            Value::Table(table) => {
                for (name, item) in table.iter_mut() {
                    let key = if key.is_empty() {
                        name.clone()
                    } else {
                        format!("{key}.{name}")
                    };
                    self.apply(item, &key)?;
                }
            }
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
        }
        Ok(())
    }

    fn substitute(&self, text: &str) -> Option<Value> {
        if !self
            .variant
            .keys()
            .any(|axis| text.contains(&format!("{{{axis}}}")))
        {
            return None;
        }
        let whole = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        if let Some(number) = whole
            .and_then(|axis| self.variant.get(axis))
            .and_then(|v| v.parse().ok())
        {
            return Some(Value::Integer(number));
        }
        let mut new = text.to_owned();
        for (axis, value) in self.variant {
            new = new.replace(&format!("{{{axis}}}"), value);
        }
        Some(Value::String(new))
    }

    /// Whether an item of a list belongs to this variant. Its `only` is taken away; what is left of
    /// a need is its name.
    fn selects(&self, item: &mut Value, key: &str) -> Result<bool, Wrong> {
        let Value::Table(table) = item else {
            return Ok(true);
        };
        let Some(only) = table.remove("only") else {
            return Ok(true);
        };
        let key = format!("{key}.only");
        let wanted: Matrix = only.try_into().map_err(|_| {
            Wrong::new(
                &*key,
                "not a table of lists",
                "write `only = { axis = [\"value\"] }`",
            )
        })?;
        let mut selected = true;
        for (axis, values) in &wanted {
            let Some(known) = self.matrix.get(axis) else {
                let fix = format!("the axes are: {}", listed(self.matrix.keys()));
                return Err(Wrong::new(key, format!("there is no axis `{axis}`"), fix));
            };
            if let Some(value) = values.iter().find(|value| !known.contains(value)) {
                let fix = format!("its values are: {}", listed(known));
                return Err(Wrong::new(
                    key,
                    format!("the axis `{axis}` has no value `{value}`"),
                    fix,
                ));
            }
            selected &= self
                .variant
                .get(axis.as_str())
                .is_some_and(|value| values.iter().any(|one| one == value));
        }
        if key.starts_with("needs ")
            && table.len() == 1
            && let Some(Value::String(name)) = table.get("capability")
        {
            *item = Value::String(name.clone());
        }
        Ok(selected)
    }
}

fn listed<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
