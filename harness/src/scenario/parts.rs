//! A flood in parts: a `records` step that stops at gates of its own. (core)
//!
//! `parts = 20, gate = "flood"` makes twenty steps of one, with the gates `flood-1` to `flood-19` between them, so
//! that whoever opens the gates is never left behind by the task, however busy the machine is.

use toml::{Table, Value};

use super::expand::Wrong;

/// The gate before a part of a flood, counted from 0; the first part has none.
pub(crate) fn part_gate(gate: &str, part: u32) -> String {
    format!("{gate}-{part}")
}

/// Divides the `records` steps of a script that say so. `key` is the script's place, for messages.
pub(super) fn divide(script: &mut Value, key: &str) -> Result<(), Wrong> {
    let Some(Value::Array(steps)) = script.get_mut("step") else {
        return Ok(());
    };
    let mut divided = Vec::with_capacity(steps.len());
    for (index, step) in std::mem::take(steps).into_iter().enumerate() {
        if let Value::Table(table) = &step
            && table.contains_key("parts")
        {
            let key = format!("{key}.step {}", index + 1);
            divided.extend(parts(table.clone(), &key)?);
        } else {
            divided.push(step);
        }
    }
    *steps = divided;
    Ok(())
}

fn parts(mut step: Table, key: &str) -> Result<Vec<Value>, Wrong> {
    let refuse = |name: &str, problem: &str, fix: &str| {
        Err(Wrong::new(format!("{key}.{name}"), problem, fix))
    };
    let parts = step.remove("parts").and_then(|value| value.as_integer());
    let parts = parts.and_then(|parts| u32::try_from(parts).ok());
    let Some(parts) = parts.filter(|parts| (2..=100).contains(parts)) else {
        return refuse("parts", "no number from 2 to 100", "write `parts = 20`");
    };
    let Some(Value::String(gate)) = step.remove("gate") else {
        return refuse(
            "gate",
            "the gates between the parts have no name",
            "write `gate = \"flood\"`",
        );
    };
    if step.get("do").and_then(Value::as_str) != Some("records") {
        return refuse("parts", "only records can be divided", "take it away");
    }
    let count = step.get("count").and_then(Value::as_integer);
    let Some(count) = count.filter(|count| *count > 0 && count % i64::from(parts) == 0) else {
        return refuse(
            "count",
            "it can't be divided into so many equal parts",
            "make it a multiple of `parts`",
        );
    };
    step.insert("count".into(), Value::Integer(count / i64::from(parts)));
    let mut last = step.clone();
    if let Some(open) = step.remove("last_unterminated") {
        last.insert("last_unterminated".into(), open);
    }
    let mut all = Vec::new();
    for number in 1..parts {
        all.push(Value::Table(step.clone()));
        let gate = [
            ("do", "gate".to_owned()),
            ("name", part_gate(&gate, number)),
        ];
        let gate = gate.map(|(name, value)| (name.to_owned(), Value::String(value)));
        all.push(Value::Table(gate.into_iter().collect()));
    }
    all.push(Value::Table(last));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(step: &str) -> Result<Vec<String>, String> {
        let mut script: Value = toml::from_str(&format!("step = [{{ {step} }}]")).unwrap();
        divide(&mut script, "tasks.main")
            .map_err(|wrong| format!("{}: {}", wrong.key, wrong.problem))?;
        let steps = script["step"].as_array().unwrap();
        Ok(steps.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_step_becomes_its_parts_with_gates_between_them() {
        let step = r#"do = "records", stream = "stdout", count = 6, parts = 3, gate = "f", last_unterminated = true"#;
        let all = divided(step).unwrap();
        let part = r#"{ count = 2, do = "records", stream = "stdout" }"#;
        let last = r#"{ count = 2, do = "records", last_unterminated = true, stream = "stdout" }"#;
        let gate = |number| format!(r#"{{ do = "gate", name = "f-{number}" }}"#);
        assert_eq!(all, [part, &gate(1), part, &gate(2), last]);
    }

    #[test]
    fn what_can_not_be_divided_is_named() {
        for (step, told) in [
            (
                r#"do = "records", count = 6, parts = 1, gate = "f""#,
                "parts: no number",
            ),
            (r#"do = "records", count = 6, parts = 3"#, "gate: the gates"),
            (
                r#"do = "records", count = 7, parts = 3, gate = "f""#,
                "count: it can't",
            ),
            (
                r#"do = "raw", count = 6, parts = 3, gate = "f""#,
                "parts: only records",
            ),
        ] {
            let error = divided(step).unwrap_err();
            assert!(
                error.starts_with(&format!("tasks.main.step 1.{told}")),
                "{error}"
            );
        }
    }

    #[test]
    fn other_steps_stay_as_they_are() {
        let step = r#"do = "gate", name = "go""#;
        assert_eq!(divided(step).unwrap(), [format!("{{ {step} }}")]);
    }
}
