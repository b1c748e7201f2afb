//! The types of attributes, as a schema names them in text (core): `string`, `number`, `bool`, `any`,
//! `list(T)`, `set(T)`, `map(T)`, `tuple([T, …])`, `object({name = T, …})`.

use std::collections::BTreeMap;
use std::fmt;

/// The type of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A text.
    String,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// Anything.
    Any,
    /// Values of one type, in their order.
    List(Box<Self>),
    /// Values of one type, each once.
    Set(Box<Self>),
    /// Values of one type by names that somebody chose.
    Map(Box<Self>),
    /// So many values, each of its own type.
    Tuple(Vec<Self>),
    /// Values of certain names, each of its own type.
    Object(BTreeMap<String, Self>),
}

/// Why a text names no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {text} as a type: {wanted} is expected at character {at}")]
pub struct TypeError {
    /// The whole text, shortened.
    pub text: String,
    /// What is expected.
    pub wanted: &'static str,
    /// At which character, the first is 1.
    pub at: usize,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Number => f.write_str("number"),
            Self::Bool => f.write_str("bool"),
            Self::Any => f.write_str("any"),
            Self::List(item) => write!(f, "list({item})"),
            Self::Set(item) => write!(f, "set({item})"),
            Self::Map(item) => write!(f, "map({item})"),
            Self::Tuple(items) => {
                let items: Vec<_> = items.iter().map(Self::to_string).collect();
                write!(f, "tuple([{}])", items.join(", "))
            }
            Self::Object(keys) => {
                let keys: Vec<_> = keys.iter().map(|(key, t)| format!("{key} = {t}")).collect();
                write!(f, "object({{{}}})", keys.join(", "))
            }
        }
    }
}

const MAX_DEPTH: usize = 32;

impl Type {
    /// Reads a type.
    ///
    /// # Errors
    /// [`TypeError`], which names the place.
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        let mut input = Input { text, at: 0 };
        input
            .kind(0)
            .and_then(|kind| match input.next_char() {
                None => Ok(kind),
                Some(_) => Err("the end"),
            })
            .map_err(|wanted| TypeError {
                text: crate::shown::shown(text.as_bytes()),
                wanted,
                at: text[..input.at].chars().count() + 1,
            })
    }
}

struct Input<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Input<'a> {
    /// Gives the next character that is no white space, without going past it.
    fn next_char(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn expect(&mut self, wanted: char, name: &'static str) -> Result<(), &'static str> {
        if self.next_char() != Some(wanted) {
            return Err(name);
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    fn name(&mut self) -> Option<&'a str> {
        self.next_char();
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .unwrap_or(rest.len());
        self.at += end;
        (end > 0).then(|| &rest[..end])
    }

    fn kind(&mut self, depth: usize) -> Result<Type, &'static str> {
        const KNOWN: &str =
            "string, number, bool, any, list(…), set(…), map(…), tuple([…]) or object({…})";
        if depth > MAX_DEPTH {
            return Err("a type that is less deep");
        }
        self.next_char();
        let begin = self.at;
        let name = self.name().ok_or(KNOWN)?;
        Ok(match name {
            "string" => Type::String,
            "number" => Type::Number,
            "bool" => Type::Bool,
            "any" => Type::Any,
            "list" => Type::List(self.item(depth)?),
            "set" => Type::Set(self.item(depth)?),
            "map" => Type::Map(self.item(depth)?),
            "tuple" => Type::Tuple(self.items(depth)?),
            "object" => Type::Object(self.keys(depth)?),
            _ => {
                self.at = begin;
                return Err(KNOWN);
            }
        })
    }

    fn item(&mut self, depth: usize) -> Result<Box<Type>, &'static str> {
        self.expect('(', "\"(\"")?;
        let item = self.kind(depth + 1)?;
        self.expect(')', "\")\"")?;
        Ok(Box::new(item))
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Type>, &'static str> {
        self.expect('(', "\"(\"")?;
        self.expect('[', "\"[\"")?;
        let mut items = Vec::new();
        while self.next_char() != Some(']') {
            items.push(self.kind(depth + 1)?);
            match self.next_char() {
                Some(',') => self.at += 1,
                Some(']') => {}
                Some(_) | None => return Err("\",\" or \"]\""),
            }
        }
        self.expect(']', "\"]\"")?;
        self.expect(')', "\")\"")?;
        Ok(items)
    }

    fn keys(&mut self, depth: usize) -> Result<BTreeMap<String, Type>, &'static str> {
        self.expect('(', "\"(\"")?;
        self.expect('{', "\"{\"")?;
        let mut keys = BTreeMap::new();
        while self.next_char() != Some('}') {
            let quoted = self.next_char() == Some('"');
            if quoted {
                self.at += 1;
            }
            let key = self.name().ok_or("a name or \"}\"")?.to_owned();
            if quoted {
                self.expect('"', "the closing quote")?;
            }
            self.expect('=', "\"=\"")?;
            keys.insert(key, self.kind(depth + 1)?);
            // Commas may be left out where lines end.
            if self.next_char() == Some(',') {
                self.at += 1;
            }
        }
        self.expect('}', "\"}\"")?;
        self.expect(')', "\")\"")?;
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types_are_read_and_written() {
        for text in [
            "string",
            "number",
            "bool",
            "any",
            "list(string)",
            "set(number)",
            "map(list(bool))",
            "list(map(string))",
            "object({a = string, b-c = list(object({}))})",
            "tuple([])",
            "tuple([string, list(tuple([number]))])",
        ] {
            assert_eq!(Type::parse(text).unwrap().to_string(), text);
        }
        let loose = Type::parse(" object( { \"a\"=string\n b = number , } ) ").unwrap();
        assert_eq!(loose.to_string(), "object({a = string, b = number})");
        let loose = Type::parse("tuple( [ string,\n any , ] )").unwrap();
        assert_eq!(loose.to_string(), "tuple([string, any])");
    }

    #[test]
    fn an_error_names_the_place() {
        const KNOWN: &str =
            "string, number, bool, any, list(…), set(…), map(…), tuple([…]) or object({…})";
        for (text, wanted, at) in [
            ("", KNOWN, 1),
            ("strng", KNOWN, 1),
            ("list", "\"(\"", 5),
            ("list(strng)", KNOWN, 6),
            ("list(string", "\")\"", 12),
            ("string x", "the end", 8),
            ("object({a string})", "\"=\"", 11),
            ("object({=})", "a name or \"}\"", 9),
            ("tuple(string)", "\"[\"", 7),
            ("tuple([string bool])", "\",\" or \"]\"", 15),
        ] {
            let error = Type::parse(text).unwrap_err();
            assert_eq!((error.wanted, error.at), (wanted, at), "{text}");
        }
        assert!(Type::parse(&"list(".repeat(9000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fail_otherwise_than_with_an_error(text in "[a-z(){}=, \"é]{0,60}|(list|object|map|tuple|[(){}\\[\\]=\",]| ){0,20}") {
            drop(Type::parse(&text));
        }
    }
}
