//! The fields of an answer, with everything that is wrong about them. (core)

use serde_json::{Map, Value};

use crate::printable::beginning;

/// How much of a wrong value is shown, in bytes.
const SHOWN_VALUE_BYTES: usize = 200;

/// Reads the fields of one object and collects what is wrong, each as a sentence.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// Where the object stands: empty for the answer itself, `handles[0].` inside of it.
    place: String,
    known: Vec<&'static str>,
    problems: Vec<String>,
}

impl<'a> Fields<'a> {
    /// The fields of an answer.
    pub(super) fn new(map: &'a Map<String, Value>) -> Self {
        Self {
            map,
            place: String::new(),
            known: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The field if it is there; `null` is the same as nothing.
    fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn wrong(&mut self, name: &str, wanted: &str, found: Option<&Value>) {
        let place = &self.place;
        self.problems.push(match found {
            None => format!("`{place}{name}` is missing; it must be {wanted}"),
            Some(value) => {
                let value = beginning(&value.to_string(), SHOWN_VALUE_BYTES);
                format!("`{place}{name}` must be {wanted}, and is {value}")
            }
        });
    }

    /// Adds a sentence of its own.
    pub(super) fn complain(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, name: &'static str) -> String {
        let value = self.get(name);
        match value
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
        {
            Some(text) => text.to_owned(),
            None => {
                self.wrong(name, "a text that is not empty", value);
                String::new()
            }
        }
    }

    /// Any value but `null`.
    pub(super) fn any(&mut self, name: &'static str) -> Value {
        match self.get(name) {
            Some(value) => value.clone(),
            None => {
                self.wrong(name, "any value but null", None);
                Value::Null
            }
        }
    }

    /// A whole number of this range, if there is one.
    pub(super) fn number(&mut self, name: &'static str, least: i32, most: i32) -> Option<i32> {
        let value = self.get(name)?;
        let number = value
            .as_i64()
            .and_then(|number| i32::try_from(number).ok())
            .filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let wanted = format!("a whole number of {least} to {most}, or null");
            self.wrong(name, &wanted, Some(value));
        }
        number
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &'static str) -> Vec<String> {
        let value = self.get(name);
        let texts = value.and_then(Value::as_array).and_then(|all| {
            all.iter()
                .map(|one| one.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        });
        texts.unwrap_or_else(|| {
            self.wrong(name, "a list of texts", value);
            Vec::new()
        })
    }

    /// A list of objects, each read by `one`.
    pub(super) fn objects<T>(
        &mut self,
        name: &'static str,
        mut one: impl FnMut(&mut Fields<'a>) -> T,
    ) -> Vec<T> {
        let value = self.get(name);
        let Some(all) = value.and_then(Value::as_array) else {
            self.wrong(name, "a list of objects", value);
            return Vec::new();
        };
        let mut read = Vec::new();
        for (index, value) in all.iter().enumerate() {
            let Some(map) = value.as_object() else {
                self.wrong(&format!("{name}[{index}]"), "an object", Some(value));
                continue;
            };
            let mut fields = Fields {
                map,
                place: format!("{}{name}[{index}].", self.place),
                known: Vec::new(),
                problems: Vec::new(),
            };
            read.push(one(&mut fields));
            self.problems.extend(fields.end());
        }
        read
    }

    /// Everything that is wrong, fields that nobody asked for included.
    pub(super) fn end(mut self) -> Vec<String> {
        for name in self.map.keys() {
            if !self.known.contains(&name.as_str()) {
                let known: Vec<String> = self.known.iter().map(|one| format!("`{one}`")).collect();
                let known = if known.is_empty() {
                    "nothing beside `seq`".to_owned()
                } else {
                    known.join(", ")
                };
                let place = &self.place;
                self.problems.push(format!(
                    "`{place}{name}` does not belong there; known is {known}"
                ));
            }
        }
        self.problems
    }
}
