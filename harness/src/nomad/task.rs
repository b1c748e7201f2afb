//! A task as Nomad would tell it to a driver. (core)
//!
//! The configuration of the task is a template: what somebody wrote for this driver, with placeholders for
//! what differs from case to case.

use std::collections::BTreeMap;
use std::path::Path;

use plugin::proto::driver::{
    AllocatedCpuResources, AllocatedMemoryResources, AllocatedTaskResources, LinuxResources,
    Resources, TaskConfig,
};
use serde_json::Value;

/// The task's name, which is that of its folder below the allocation's.
const NAME: &str = "task";
/// What an ordinary job asks for. A driver that sets limits by it must leave the payload room.
const CPU_MHZ: i64 = 500;
const MEMORY_MB: i64 = 512;
const MEBIBYTE: i64 = 1 << 20;

/// What is wrong about a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FillError {
    /// Nothing in it tells the driver what to run.
    #[error(
        "nothing in it tells the driver what to run: put {{task}} where the whole command goes, or {{program}} \
         and {{arguments}}, for instance command = \"{{program}}\" and args = [\"{{arguments}}\"]"
    )]
    NoTask,
    /// Several words stand where only one can be.
    #[error("{path}: {{arguments}} is a list; let it be an element of a list, [\"{{arguments}}\"]")]
    NoList {
        /// The key.
        path: String,
    },
}

/// What a template is filled with.
#[derive(Clone, Debug)]
pub(crate) struct Filling<'a> {
    /// The command of the payload; not empty.
    pub(crate) argv: &'a [String],
    /// What else there is, by the placeholder's name without braces.
    pub(crate) values: BTreeMap<&'static str, String>,
}

/// The placeholders that stand for the command.
const COMMANDS: [&str; 3] = ["{task}", "{program}", "{arguments}"];

/// Checks that a template tells the driver what to run.
///
/// # Errors
/// [`FillError::NoTask`].
pub(crate) fn require_task(template: &Value) -> Result<(), FillError> {
    let mut texts = Vec::new();
    add_texts(template, &mut texts);
    let names_it = |text: &&str| {
        COMMANDS
            .iter()
            .any(|placeholder| text.contains(placeholder))
    };
    match texts.iter().find(|text| names_it(text)) {
        Some(_) => Ok(()),
        None => Err(FillError::NoTask),
    }
}

fn add_texts<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(list) => list.iter().for_each(|one| add_texts(one, texts)),
        Value::Object(keys) => keys.values().for_each(|one| add_texts(one, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The configuration of one task. In a list an element that is exactly `{task}` becomes the words of the
/// command, and `{arguments}` those behind its program; in a longer text `{task}` becomes one text that is
/// quoted for a shell. Braces around anything else stay.
///
/// # Errors
/// [`FillError::NoList`].
pub(crate) fn fill(template: &Value, filling: &Filling<'_>) -> Result<Value, FillError> {
    fill_at(template, filling, "")
}

fn fill_at(template: &Value, filling: &Filling<'_>, path: &str) -> Result<Value, FillError> {
    Ok(match template {
        Value::String(text) => Value::String(fill_text(text, filling, path)?),
        Value::Array(list) => {
            let mut filled = Vec::new();
            for (index, one) in list.iter().enumerate() {
                match one.as_str() {
                    Some("{task}") => filled.extend(words(filling.argv)),
                    Some("{arguments}") => filled.extend(words(arguments(filling))),
                    Some(_) | None => {
                        filled.push(fill_at(one, filling, &format!("{path}[{index}]"))?);
                    }
                }
            }
            Value::Array(filled)
        }
        Value::Object(keys) => {
            let filled = keys.iter().map(|(key, one)| {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                Ok((key.clone(), fill_at(one, filling, &path)?))
            });
            Value::Object(filled.collect::<Result<_, FillError>>()?)
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other.clone(),
    })
}

fn words(words: &[String]) -> impl Iterator<Item = Value> + '_ {
    words.iter().cloned().map(Value::String)
}

fn arguments<'a>(filling: &Filling<'a>) -> &'a [String] {
    filling.argv.get(1..).unwrap_or_default()
}

fn fill_text(text: &str, filling: &Filling<'_>, path: &str) -> Result<String, FillError> {
    if text.contains("{arguments}") {
        return Err(FillError::NoList {
            path: path.to_owned(),
        });
    }
    let program = filling.argv.first().map_or("", String::as_str);
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    // What was put in is not looked at again: a path may have braces.
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        let named = behind.split_once('}').and_then(|(name, after)| {
            let value = match name {
                "task" => shell_words::join(filling.argv),
                "program" => program.to_owned(),
                name => filling.values.get(name)?.clone(),
            };
            Some((value, after))
        });
        if let Some((value, after)) = named {
            filled.push_str(&value);
            rest = after;
        } else {
            filled.push('{');
            rest = behind;
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

/// What differs from task to task, beside the driver's own configuration.
#[derive(Clone, Debug)]
pub(crate) struct Told<'a> {
    /// The allocation, a UUID.
    pub(crate) alloc_id: &'a str,
    /// Eight hexadecimal digits, others for each start.
    pub(crate) instance: &'a str,
    /// The allocation's folder.
    pub(crate) alloc_dir: &'a Path,
    /// Added to the environment.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// The user that the task runs as; none for the driver's choice.
    pub(crate) user: Option<&'a str>,
    /// The FIFOs, or `/dev/null`.
    pub(crate) stdout: &'a str,
    /// The same.
    pub(crate) stderr: &'a str,
    /// By the driver's schema, in MessagePack.
    pub(crate) msgpack: Vec<u8>,
}

/// The folders that Nomad makes for a task, below the allocation's.
pub(crate) fn folders() -> [String; 6] {
    [
        "alloc/logs".to_owned(),
        "alloc/tmp".to_owned(),
        "alloc/data".to_owned(),
        format!("{NAME}/local"),
        format!("{NAME}/secrets"),
        format!("{NAME}/tmp"),
    ]
}

/// The task as the driver is told it.
pub(crate) fn task_config(told: Told<'_>) -> TaskConfig {
    let within = |path: &str| told.alloc_dir.join(path).to_string_lossy().into_owned();
    let mut env: BTreeMap<String, String> = BTreeMap::from([
        ("NOMAD_ALLOC_DIR".to_owned(), within("alloc")),
        (
            "NOMAD_TASK_DIR".to_owned(),
            within(&format!("{NAME}/local")),
        ),
        (
            "NOMAD_SECRETS_DIR".to_owned(),
            within(&format!("{NAME}/secrets")),
        ),
        ("NOMAD_ALLOC_ID".to_owned(), told.alloc_id.to_owned()),
        ("NOMAD_TASK_NAME".to_owned(), NAME.to_owned()),
        ("NOMAD_GROUP_NAME".to_owned(), "group".to_owned()),
        ("NOMAD_JOB_NAME".to_owned(), "harness".to_owned()),
        ("NOMAD_JOB_ID".to_owned(), "harness".to_owned()),
        ("NOMAD_NAMESPACE".to_owned(), "default".to_owned()),
    ]);
    env.extend(told.env.clone());
    TaskConfig {
        id: format!("{}/{NAME}/{}", told.alloc_id, told.instance),
        name: NAME.to_owned(),
        msgpack_driver_config: told.msgpack,
        env: env.into_iter().collect(),
        resources: Some(resources()),
        user: told.user.unwrap_or_default().to_owned(),
        alloc_dir: told.alloc_dir.to_string_lossy().into_owned(),
        stdout_path: told.stdout.to_owned(),
        stderr_path: told.stderr.to_owned(),
        task_group_name: "group".to_owned(),
        job_name: "harness".to_owned(),
        alloc_id: told.alloc_id.to_owned(),
        job_id: "harness".to_owned(),
        namespace: "default".to_owned(),
        node_name: "harness".to_owned(),
        ..TaskConfig::default()
    }
}

fn resources() -> Resources {
    Resources {
        allocated_resources: Some(AllocatedTaskResources {
            cpu: Some(AllocatedCpuResources {
                cpu_shares: CPU_MHZ,
            }),
            memory: Some(AllocatedMemoryResources {
                memory_mb: MEMORY_MB,
                memory_max_mb: 0,
            }),
            networks: Vec::new(),
        }),
        linux_resources: Some(LinuxResources {
            cpu_shares: CPU_MHZ,
            memory_limit_bytes: MEMORY_MB * MEBIBYTE,
            ..LinuxResources::default()
        }),
        ports: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &Value) -> Result<Value, FillError> {
        let argv = ["/bin/my task", "--x", "{task_dir}"].map(str::to_owned);
        let filling = Filling {
            argv: &argv,
            values: BTreeMap::from([("task_dir", "/t {program}".to_owned())]),
        };
        fill(template, &filling)
    }

    #[test]
    fn the_command_stands_where_a_driver_wants_it() {
        let raw = json!({"command": "{program}", "args": ["{arguments}"]});
        assert_eq!(
            filled(&raw).unwrap(),
            json!({"command": "/bin/my task", "args": ["--x", "{task_dir}"]})
        );
        assert_eq!(
            filled(&json!({"cmd": ["env", "{task}"]})).unwrap(),
            json!({"cmd": ["env", "/bin/my task", "--x", "{task_dir}"]})
        );
        let shell = filled(&json!({"args": ["-c", "exec {task}"]})).unwrap();
        let script = shell["args"][1].as_str().unwrap();
        assert_eq!(
            shell_words::split(script).unwrap(),
            ["exec", "/bin/my task", "--x", "{task_dir}"]
        );
    }

    #[test]
    fn what_was_put_in_and_other_braces_stay() {
        assert_eq!(
            filled(&json!({"a": "{task_dir}/{x} ${y} {", "n": 3, "b": [{"c": "{task_dir}"}]}))
                .unwrap(),
            json!({"a": "/t {program}/{x} ${y} {", "n": 3, "b": [{"c": "/t {program}"}]})
        );
    }

    #[test]
    fn a_template_that_can_not_work_is_refused_with_its_key() {
        let wrong = filled(&json!({"a": {"b": ["x {arguments}"]}})).unwrap_err();
        assert!(wrong.to_string().starts_with("a.b[0]: "), "{wrong}");
        assert_eq!(
            require_task(&json!({"command": "sh"})),
            Err(FillError::NoTask)
        );
        for template in [
            json!({"a": ["{arguments}"]}),
            json!({"a": {"b": "x {task}"}}),
        ] {
            require_task(&template).unwrap();
        }
    }

    #[test]
    fn a_task_has_the_folders_and_the_environment_that_jobs_rely_on() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let config = task_config(Told {
            alloc_id: "0-1",
            instance: "abcdef01",
            alloc_dir: Path::new("/a"),
            env: &env,
            user: None,
            stdout: "/f/o",
            stderr: "/f/e",
            msgpack: vec![0x80],
        });
        assert_eq!(config.id, "0-1/task/abcdef01");
        assert_eq!(config.env["NOMAD_TASK_DIR"], "/a/task/local");
        assert_eq!(config.env["A"], "1");
        assert_eq!(
            (config.user.as_str(), config.alloc_dir.as_str()),
            ("", "/a")
        );
        assert!(folders().contains(&"task/local".to_owned()));
    }
}
