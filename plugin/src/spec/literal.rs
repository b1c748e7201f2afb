//! Constants in a schema (core): an HCL expression as text, of strings, numbers, bools, null, and lists
//! and objects of these. What has to be computed is kept as its text, and nobody computes it here.

use std::collections::BTreeMap;

use crate::value::{Number, Value};

/// A constant with the text that stands for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Literal {
    text: String,
    /// None if it has to be computed.
    value: Option<Value>,
}

/// Why a text is no constant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {text} as a constant: {wanted} is expected at character {at}")]
pub struct LiteralError {
    /// The whole text, shortened.
    pub text: String,
    /// What is expected.
    pub wanted: &'static str,
    /// At which character, the first is 1.
    pub at: usize,
}

const MAX_DEPTH: usize = 32;

impl Literal {
    /// Reads a constant. The original host evaluates it, so it may be an expression with calls and operators; that
    /// is taken as it stands, without a value.
    ///
    /// # Errors
    /// [`LiteralError`], which names the place.
    pub fn parse(text: &str) -> Result<Self, LiteralError> {
        let mut input = Input { text, at: 0 };
        let value = input.value(0).and_then(|value| {
            input.skip_space();
            match input.rest() {
                "" => Ok(value),
                _ => Err("the end"),
            }
        });
        let value = match value {
            Ok(value) => Some(value),
            Err(_) if computes(text) => None,
            Err(wanted) => {
                return Err(LiteralError {
                    text: crate::shown::shown(text.as_bytes()),
                    wanted,
                    at: text[..input.at].chars().count() + 1,
                });
            }
        };
        let text = text.to_owned();
        Ok(Self { text, value })
    }

    /// Gives the text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Gives the value, or nothing if it would have to be computed.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        self.value.as_ref()
    }
}

impl From<bool> for Literal {
    fn from(bool: bool) -> Self {
        let text = bool.to_string();
        let value = Some(Value::Bool(bool));
        Self { text, value }
    }
}

impl From<i64> for Literal {
    fn from(int: i64) -> Self {
        let text = int.to_string();
        let value = Some(Value::Number(int.into()));
        Self { text, value }
    }
}

impl From<&str> for Literal {
    fn from(string: &str) -> Self {
        let mut text = String::from('"');
        for c in string.chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                _ => text.push(c),
            }
        }
        text.push('"');
        // What would begin a template is doubled.
        let text = text.replace("${", "$${").replace("%{", "%%{");
        let value = Some(Value::Text(string.to_owned()));
        Self { text, value }
    }
}

/// Says whether a text that is no constant may be an expression: it calls a function or has an operator, outside of
/// its strings, and all its brackets are closed.
fn computes(text: &str) -> bool {
    let mut open = Vec::new();
    let mut found = false;
    let mut previous = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let in_string = open.last() == Some(&'"');
        match c {
            '\\' if in_string => drop(chars.next()),
            '$' | '%' if in_string => {
                // A doubled sign is one that begins no template.
                let is_doubled = previous == c;
                if chars.next_if_eq(&'{').is_some() && !is_doubled {
                    open.push('}');
                }
            }
            '"' if in_string => drop(open.pop()),
            _ if in_string => {}
            '"' => open.push('"'),
            '(' => {
                found |= previous.is_alphanumeric() || previous == '_';
                open.push(')');
            }
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(c) => return false,
            '+' | '*' | '/' | '%' | '?' | '<' | '>' | '!' | '&' | '|' => found = true,
            // A name may hold it.
            '-' => found |= !previous.is_alphabetic() && previous != '_',
            '=' => found |= previous == '=',
            _ => {}
        }
        previous = c;
    }
    found && open.is_empty()
}

struct Input<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Input<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, start: &str) -> bool {
        let there = self.rest().starts_with(start);
        if there {
            self.at += start.len();
        }
        there
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn value(&mut self, depth: usize) -> Result<Value, &'static str> {
        const WANTED: &str = "a string, number, bool, null, list or object";
        if depth > MAX_DEPTH {
            return Err("a value that is less deep");
        }
        self.skip_space();
        match self.rest().chars().next() {
            Some('"') => self.string().map(Value::Text),
            Some('[') => self.list(depth),
            Some('{') => self.object(depth),
            Some('-' | '.' | '0'..='9') => self.number(),
            Some(_) => {
                let begin = self.at;
                match self.word() {
                    "true" => Ok(Value::Bool(true)),
                    "false" => Ok(Value::Bool(false)),
                    "null" => Ok(Value::Null),
                    _ => {
                        self.at = begin;
                        Err(WANTED)
                    }
                }
            }
            None => Err(WANTED),
        }
    }

    fn number(&mut self) -> Result<Value, &'static str> {
        let rest = self.rest();
        let mut previous = ' ';
        let end = rest
            .find(|c: char| {
                let in_exponent = matches!(previous, 'e' | 'E') && matches!(c, '+' | '-');
                let begins = previous == ' ' && c == '-';
                previous = c;
                !(c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || in_exponent || begins)
            })
            .unwrap_or(rest.len());
        let number = Number::parse(&rest[..end]).ok_or("a number of at most 400 digits")?;
        self.at += end;
        Ok(Value::Number(number))
    }

    fn string(&mut self) -> Result<String, &'static str> {
        self.at += 1;
        let mut string = String::new();
        loop {
            // A doubled sign is one that begins no template.
            if self.eat("$${") {
                string.push_str("${");
                continue;
            }
            if self.eat("%%{") {
                string.push_str("%{");
                continue;
            }
            if self.rest().starts_with("${") || self.rest().starts_with("%{") {
                return Err("a constant, and no template,");
            }
            match self.rest().chars().next() {
                None | Some('\n') => return Err("the closing quote"),
                Some('\\') => string.push(self.escape()?),
                Some(c) => {
                    self.at += c.len_utf8();
                    if c == '"' {
                        return Ok(string);
                    }
                    string.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, &'static str> {
        const WANTED: &str = r#"\n, \r, \t, \", \\, \uXXXX or \UXXXXXXXX"#;
        let mut chars = self.rest().chars().skip(1);
        let (c, digits) = match chars.next().ok_or(WANTED)? {
            'n' => ('\n', 0),
            'r' => ('\r', 0),
            't' => ('\t', 0),
            '"' => ('"', 0),
            '\\' => ('\\', 0),
            'u' => ('u', 4),
            'U' => ('U', 8),
            _ => return Err(WANTED),
        };
        let code = self.rest().get(2..2 + digits).ok_or(WANTED)?;
        let c = match digits {
            0 => c,
            _ => u32::from_str_radix(code, 16)
                .ok()
                .and_then(char::from_u32)
                .ok_or(WANTED)?,
        };
        self.at += 2 + digits;
        Ok(c)
    }

    fn list(&mut self, depth: usize) -> Result<Value, &'static str> {
        self.at += 1;
        let mut list = Vec::new();
        loop {
            self.skip_space();
            if self.eat("]") {
                return Ok(Value::List(list));
            }
            list.push(self.value(depth + 1)?);
            self.skip_space();
            if !self.eat(",") && !self.rest().starts_with(']') {
                return Err("\",\" or \"]\"");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, &'static str> {
        self.at += 1;
        let mut keys = BTreeMap::new();
        loop {
            self.skip_space();
            if self.eat("}") {
                return Ok(Value::Map(keys));
            }
            let key = if self.rest().starts_with('"') {
                self.string()?
            } else {
                self.word().to_owned()
            };
            if key.is_empty() {
                return Err("a key or \"}\"");
            }
            self.skip_space();
            if !self.eat("=") && !self.eat(":") {
                return Err("\"=\"");
            }
            keys.insert(key, self.value(depth + 1)?);
            let before = self.at;
            self.skip_space();
            let new_line = self.text[before..self.at].contains('\n');
            if !self.eat(",") && !new_line && !self.rest().starts_with('}') {
                return Err("\",\", \"}\" or a new line");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn constants_are_read() {
        for (text, json) in [
            (r#""5s""#, json!("5s")),
            (r#""a\n\t\"\\\u00e9\U0001F600""#, json!("a\n\t\"\\é😀")),
            (r#""$${x} %%{y} $ % $$""#, json!("${x} %{y} $ % $$")),
            ("  true ", json!(true)),
            ("false", json!(false)),
            ("null", json!(null)),
            ("-1.5e+1", json!(-15)),
            ("0.1", json!(0.1)),
            ("[]", json!([])),
            ("[1, \"a\", [null],\n]", json!([1, "a", [null]])),
            ("{}", json!({})),
            (
                "{ a = 1, \"b c\" : true\n d-e = {} }",
                json!({"a": 1, "b c": true, "d-e": {}}),
            ),
        ] {
            let literal = Literal::parse(text).unwrap();
            assert_eq!(literal.value(), Some(&Value::from_json(&json)), "{text}");
            assert_eq!(literal.text(), text);
        }
    }

    #[test]
    fn what_has_to_be_computed_is_kept_as_it_stands() {
        for text in [
            "upper(\"x\")",
            "[1, max(2, 3)]",
            "{ a = length([1]) }",
            "1 + 2",
            "true ? 1 : 2",
            "5 - 2",
            "1 == 1",
            "\"a${upper(\"b\")}\"",
        ] {
            let literal = Literal::parse(text).unwrap();
            assert_eq!((literal.value(), literal.text()), (None, text));
        }
        for text in [
            "(1",
            "upper(\"x\"",
            "upper(\"x\")]",
            "\"a(b) + \\\" ${c}",
            "\"$${upper(x)} + 1\" \"x\"",
            "x y",
            "x-y",
            "x = y",
        ] {
            Literal::parse(text).unwrap_err();
        }
    }

    #[test]
    fn what_is_no_constant_is_refused_with_its_place() {
        const WANTED: &str = "a string, number, bool, null, list or object";
        for (text, wanted, at) in [
            ("", WANTED, 1),
            ("5s", "the end", 2),
            ("name", WANTED, 1),
            ("\"a", "the closing quote", 3),
            ("\"a${b}\"", "a constant, and no template,", 3),
            ("\"\\x\"", r#"\n, \r, \t, \", \\, \uXXXX or \UXXXXXXXX"#, 2),
            (
                "\"\\u12\"",
                r#"\n, \r, \t, \", \\, \uXXXX or \UXXXXXXXX"#,
                2,
            ),
            ("[1 2]", "\",\" or \"]\"", 4),
            ("{a 1}", "\"=\"", 4),
            ("{= 1}", "a key or \"}\"", 2),
            ("{a = 1 b = 2}", "\",\", \"}\" or a new line", 8),
            ("1 2", "the end", 3),
        ] {
            let error = Literal::parse(text).unwrap_err();
            assert_eq!((error.wanted, error.at), (wanted, at), "{text}");
        }
        assert!(Literal::parse(&"[".repeat(9000)).is_err());
    }

    proptest! {
        #[test]
        fn a_string_is_written_as_a_constant_that_can_be_read(string in ".*|[$%{}\"\\\\\n]{0,12}") {
            let literal = Literal::from(string.as_str());
            prop_assert_eq!(Literal::parse(literal.text()).unwrap(), literal);
        }

        #[test]
        fn no_text_makes_the_reader_fail_otherwise_than_with_an_error(text in "[\\[\\]{}\"\\\\=:,$%0-9eE.uU\n é-]{0,40}") {
            drop(Literal::parse(&text));
        }
    }
}
