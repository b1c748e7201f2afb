//! The fields of a request, taken one by one (core). An error names the field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What is left of the fields of a request.
#[derive(Debug)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn new(map: Map<String, Value>) -> Fields {
        Fields(map)
    }

    /// Takes a field that must be there.
    pub(crate) fn value(&mut self, name: &str) -> Result<Value, String> {
        let found = self.0.remove(name);
        found.ok_or_else(|| format!("`{name}` is missing"))
    }

    /// Takes a text that is not empty.
    pub(crate) fn text(&mut self, name: &str) -> Result<String, String> {
        let value = self.value(name)?;
        let text = value.as_str().filter(|text| !text.is_empty());
        let wrong = || wrong(name, "a text that is not empty", &value);
        without_nul(name, text.ok_or_else(wrong)?).map(str::to_owned)
    }

    /// Takes a text, or none where null stands or nothing.
    pub(crate) fn text_or_null(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => without_nul(name, &text).map(|_| Some(text.clone())),
            Some(other) => Err(wrong(name, "a text or null", &other)),
        }
    }

    /// Takes a whole number that is not negative.
    pub(crate) fn number(&mut self, name: &str) -> Result<u64, String> {
        let value = self.value(name)?;
        let number = value.as_u64();
        number.ok_or_else(|| wrong(name, "a whole number, 0 or more", &value))
    }

    /// Takes a list.
    pub(crate) fn list(&mut self, name: &str) -> Result<Vec<Value>, String> {
        let mut value = self.value(name)?;
        let list = value.as_array_mut().map(std::mem::take);
        list.ok_or_else(|| wrong(name, "a list", &value))
    }

    /// Takes a list of texts with at least one in it.
    pub(crate) fn words(&mut self, name: &str) -> Result<Vec<String>, String> {
        let must = "a list of texts with at least one";
        let list = self.list(name)?;
        let words: Option<Vec<String>> = list
            .iter()
            .map(|word| word.as_str().map(str::to_owned))
            .collect();
        let words = words.filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| wrong(name, must, &Value::Array(list)))?;
        words
            .iter()
            .try_for_each(|word| without_nul(name, word).map(drop))?;
        Ok(words)
    }

    /// Takes an object of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Result<BTreeMap<String, String>, String> {
        let value = self.value(name)?;
        let texts = value.as_object().and_then(|object| {
            let pairs = object.iter();
            pairs
                .map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned())))
                .collect()
        });
        let texts: BTreeMap<String, String> =
            texts.ok_or_else(|| wrong(name, "an object of texts", &value))?;
        for (key, text) in &texts {
            without_nul(name, key)?;
            without_nul(name, text)?;
            // A variable could not be told from its value, environ(7).
            if key.is_empty() || key.contains('=') {
                return Err(format!(
                    "`{name}` must hold no name that is empty or has a `=` in it"
                ));
            }
        }
        Ok(texts)
    }

    /// Sees that no field is left.
    pub(crate) fn end(self) -> Result<(), String> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("`{name}` is no field of it")),
        }
    }
}

/// No argument, variable or path can hold a NUL, execve(2).
fn without_nul<'a>(name: &str, text: &'a str) -> Result<&'a str, String> {
    if text.contains('\0') {
        return Err(format!("`{name}` must hold no NUL"));
    }
    Ok(text)
}

/// What is said of a field that is something else.
pub(crate) fn wrong(name: &str, must: &str, value: &Value) -> String {
    /// A value may be as long as a request.
    const SHOWN: usize = 60;
    let text = value.to_string();
    let shown: String = text.chars().take(SHOWN).collect();
    let cut = if shown.len() < text.len() { "…" } else { "" };
    format!("`{name}` must be {must}, and is {shown}{cut}")
}
