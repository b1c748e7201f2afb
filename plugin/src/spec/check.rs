//! A configuration checked by its schema (core). What somebody wrote is a body: attributes and blocks
//! by their names. Every fault is told, not only the first.
//!
//! As in HCL, a number or bool does where a string is wanted, and a string that reads as one does where a
//! number or bool is wanted. A single block may stand as an object or as a list of one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::nearest::nearest;
use super::{Blocks, Literal, Spec, Type};
use crate::msgpack;
use crate::shown::shown;
use crate::value::{Number, Value};

/// One thing that is wrong about a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, as in `mounts[1].target`.
    pub path: String,
    /// What was expected.
    pub expected: String,
    /// What stands there.
    pub found: String,
    /// For an unknown key the one that may have been meant.
    pub near: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            expected,
            found,
            near,
        } = self;
        let path = if path.is_empty() { "the whole" } else { path };
        write!(f, "{path}: expected {expected}, found {found}")?;
        match near {
            Some(near) => write!(f, "; did you mean {near}?"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong about a configuration, in the order of the schema; at least one fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use the configuration: {}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))]
pub struct Faults(pub Vec<Fault>);

type Body = BTreeMap<String, Value>;

impl Spec {
    /// Gives the value that the schema takes from a configuration, with every key that the schema has.
    ///
    /// # Errors
    /// [`Faults`], each with its place, what was expected and what stands there.
    pub fn check(&self, configuration: &Value) -> Result<Value, Faults> {
        let mut check = Check { faults: Vec::new() };
        let value = match configuration {
            Value::Map(body) => check.body(self, body, ""),
            Value::Null => check.body(self, &Body::new(), ""),
            Value::Bool(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::List(_) => check.wrong("", "an object", configuration),
        };
        if check.faults.is_empty() {
            Ok(value)
        } else {
            Err(Faults(check.faults))
        }
    }

    /// The name of the one attribute or kind of block that this node is about.
    pub(super) fn own_name(&self) -> Option<&str> {
        match self {
            Self::Attr { name, .. }
            | Self::Block { name, .. }
            | Self::BlockAttrs { name, .. }
            | Self::BlockMap { name, .. }
            | Self::BlockList(Blocks { name, .. })
            | Self::BlockSet(Blocks { name, .. }) => Some(name),
            Self::Default { primary, .. } => primary.own_name(),
            Self::Object(_) | Self::Array(_) | Self::Literal(_) => None,
        }
    }

    /// The names that a body may have for this node.
    fn names<'a>(&'a self, names: &mut BTreeSet<&'a str>) {
        match self {
            Self::Object(nodes) => nodes.values().for_each(|node| node.names(names)),
            Self::Array(nodes) => nodes.iter().for_each(|node| node.names(names)),
            Self::Attr { name, .. }
            | Self::Block { name, .. }
            | Self::BlockAttrs { name, .. }
            | Self::BlockMap { name, .. }
            | Self::BlockList(Blocks { name, .. })
            | Self::BlockSet(Blocks { name, .. }) => {
                names.insert(name);
            }
            Self::Default { primary, default } => {
                primary.names(names);
                default.names(names);
            }
            Self::Literal(_) => {}
        }
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

struct Check {
    faults: Vec<Fault>,
}

impl Check {
    /// Notes a fault and gives what stands in for the value.
    fn fault(&mut self, path: &str, expected: impl fmt::Display, found: String) -> Value {
        self.faults.push(Fault {
            path: path.to_owned(),
            expected: expected.to_string(),
            found,
            near: None,
        });
        Value::Null
    }

    fn wrong(&mut self, path: &str, expected: impl fmt::Display, found: &Value) -> Value {
        self.fault(path, expected, found.described())
    }

    fn body(&mut self, spec: &Spec, body: &Body, path: &str) -> Value {
        let value = self.node(spec, body, path);
        let mut names = BTreeSet::new();
        spec.names(&mut names);
        for (key, value) in body {
            if !names.contains(key.as_str()) {
                self.wrong(&below(path, key), "no such key", value);
                let near = nearest(key, names.iter().copied()).map(str::to_owned);
                if let Some(fault) = self.faults.last_mut() {
                    fault.near = near;
                }
            }
        }
        value
    }

    fn node(&mut self, spec: &Spec, body: &Body, path: &str) -> Value {
        match spec {
            Spec::Object(nodes) => Value::Map(
                nodes
                    .iter()
                    .map(|(key, node)| (key.clone(), self.node(node, body, path)))
                    .collect(),
            ),
            Spec::Array(nodes) => Value::List(
                nodes
                    .iter()
                    .map(|node| self.node(node, body, path))
                    .collect(),
            ),
            Spec::Attr {
                name,
                kind,
                required,
            } => {
                let path = below(path, name);
                match body.get(name) {
                    None | Some(Value::Null) => self.absent(*required, &path, kind),
                    Some(value) => self.convert(value, kind, &path),
                }
            }
            Spec::Block {
                name,
                required,
                nested,
            } => {
                let path = below(path, name);
                match self.one_block(body.get(name), &path) {
                    Some(block) => self.body(nested, block, &path),
                    None => self.absent(*required && is_absent(body.get(name)), &path, "a block"),
                }
            }
            Spec::BlockAttrs {
                name,
                kind,
                required,
            } => {
                let path = below(path, name);
                match self.one_block(body.get(name), &path) {
                    Some(block) => self.items(block, kind, &path),
                    None => self.absent(*required && is_absent(body.get(name)), &path, "a block"),
                }
            }
            Spec::BlockList(blocks) => Value::List(self.blocks(blocks, body, path)),
            Spec::BlockSet(blocks) => Value::List(once_each(self.blocks(blocks, body, path))),
            Spec::BlockMap {
                name,
                labels,
                nested,
            } => self.labelled(nested, labels.len(), body.get(name), &below(path, name)),
            Spec::Default { primary, default } => {
                let value = self.node(primary, body, path);
                if value == Value::Null {
                    let own = primary.own_name().map(|name| below(path, name));
                    match (default.as_ref(), own) {
                        // It is this one that somebody has to set.
                        (Spec::Literal(literal), Some(own)) => self.literal(literal, &own),
                        _ => self.node(default, body, path),
                    }
                } else {
                    value
                }
            }
            Spec::Literal(literal) => self.literal(literal, path),
        }
    }

    fn literal(&mut self, literal: &Literal, path: &str) -> Value {
        match literal.value() {
            Some(value) => value.clone(),
            None => {
                let text = shown(literal.text().as_bytes());
                let expected = format!("a value, as the default is computed by {text}");
                self.fault(path, expected, "nothing".to_owned())
            }
        }
    }

    fn absent(&mut self, required: bool, path: &str, expected: impl fmt::Display) -> Value {
        if required {
            return self.fault(path, expected, "nothing".to_owned());
        }
        Value::Null
    }

    /// Gives the body of a block that may stand once.
    fn one_block<'a>(&mut self, found: Option<&'a Value>, path: &str) -> Option<&'a Body> {
        let found = found.filter(|found| !is_absent(Some(found)))?;
        match found {
            Value::Map(block) => return Some(block),
            Value::List(list) => {
                if let [Value::Map(block)] = list.as_slice() {
                    return Some(block);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Bytes(_) => {}
        }
        self.wrong(path, "one block", found);
        None
    }

    fn blocks(&mut self, blocks: &Blocks, body: &Body, path: &str) -> Vec<Value> {
        let path = below(path, &blocks.name);
        let found = match body.get(&blocks.name) {
            None | Some(Value::Null) => &[],
            Some(one @ Value::Map(_)) => std::slice::from_ref(one),
            Some(Value::List(list)) => list.as_slice(),
            Some(other) => {
                self.wrong(&path, "blocks", other);
                return Vec::new();
            }
        };
        let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
        if count < blocks.min || (blocks.max > 0 && count > blocks.max) {
            let expected = match (blocks.min, blocks.max) {
                (min, 0) => format!("at least {min}"),
                (0, max) => format!("at most {max}"),
                (min, max) => format!("{min} to {max}"),
            };
            self.fault(&path, format!("{expected} blocks"), count.to_string());
        }
        let values = found.iter().enumerate().map(|(index, block)| {
            let path = format!("{path}[{index}]");
            if let Value::Map(block) = block {
                self.body(&blocks.nested, block, &path)
            } else {
                self.wrong(&path, "a block", block)
            }
        });
        values.collect()
    }

    fn labelled(
        &mut self,
        nested: &Spec,
        levels: usize,
        found: Option<&Value>,
        path: &str,
    ) -> Value {
        if levels == 0 {
            return match self.one_block(found, path) {
                Some(block) => self.body(nested, block, path),
                None => self.absent(is_absent(found), path, "a block"),
            };
        }
        match found {
            None | Some(Value::Null) => Value::Map(Body::new()),
            Some(Value::Map(keys)) => Value::Map(
                keys.iter()
                    .map(|(label, inner)| {
                        let path = below(path, label);
                        let value = self.labelled(nested, levels - 1, Some(inner), &path);
                        (label.clone(), value)
                    })
                    .collect(),
            ),
            Some(other) => self.wrong(path, "an object of blocks by their labels", other),
        }
    }

    fn items(&mut self, body: &Body, kind: &Type, path: &str) -> Value {
        let body = alike(body.iter(), kind);
        Value::Map(
            body.into_iter()
                .map(|(key, value)| {
                    let value = self.convert(&value, kind, &below(path, key));
                    (key.clone(), value)
                })
                .collect(),
        )
    }

    fn list(&mut self, list: &[Value], kind: &Type, path: &str) -> Vec<Value> {
        alike(list.iter().enumerate(), kind)
            .into_iter()
            .map(|(index, value)| self.convert(&value, kind, &format!("{path}[{index}]")))
            .collect()
    }

    fn convert(&mut self, value: &Value, kind: &Type, path: &str) -> Value {
        match (kind, value) {
            (_, Value::Null) => Value::Null,
            (Type::Any, _)
            | (Type::String, Value::Text(_))
            | (Type::Number, Value::Number(_))
            | (Type::Bool, Value::Bool(_)) => value.clone(),
            (Type::String, Value::Number(number)) => Value::Text(number.to_string()),
            (Type::String, Value::Bool(bool)) => Value::Text(bool.to_string()),
            (Type::Number, Value::Text(text)) => match Number::parse(text) {
                Some(number) => Value::Number(number),
                None => self.wrong(path, kind, value),
            },
            (Type::Bool, Value::Text(text)) => match text.as_str() {
                "true" | "1" => Value::Bool(true),
                "false" | "0" => Value::Bool(false),
                _ => self.wrong(path, kind, value),
            },
            (Type::List(item), Value::List(list)) => Value::List(self.list(list, item, path)),
            (Type::Set(item), Value::List(list)) => {
                Value::List(once_each(self.list(list, item, path)))
            }
            (Type::Map(item), Value::Map(body)) => self.items(body, item, path),
            (Type::Tuple(items), Value::List(list)) if items.len() == list.len() => Value::List(
                (items.iter().zip(list).enumerate())
                    .map(|(index, (kind, value))| {
                        self.convert(value, kind, &format!("{path}[{index}]"))
                    })
                    .collect(),
            ),
            (Type::Object(kinds), Value::Map(body)) => self.object(body, kinds, path),
            (
                Type::String
                | Type::Number
                | Type::Bool
                | Type::List(_)
                | Type::Set(_)
                | Type::Map(_)
                | Type::Tuple(_)
                | Type::Object(_),
                _,
            ) => self.wrong(path, kind, value),
        }
    }

    fn object(&mut self, body: &Body, kinds: &BTreeMap<String, Type>, path: &str) -> Value {
        let attributes = kinds
            .iter()
            .map(|(key, kind)| (key.clone(), Spec::required(key, kind.clone())));
        self.body(&Spec::Object(attributes.collect()), body, path)
    }
}

/// An empty list of blocks is no block.
fn is_absent(found: Option<&Value>) -> bool {
    match found {
        None | Some(Value::Null) => true,
        Some(Value::List(list)) => list.is_empty(),
        Some(_) => false,
    }
}

/// Makes the items of a collection of any type alike: beside a string, numbers and bools become strings.
fn alike<'a, K>(items: impl Iterator<Item = (K, &'a Value)>, kind: &Type) -> Vec<(K, Value)> {
    let items: Vec<(K, Value)> = items.map(|(key, value)| (key, value.clone())).collect();
    let has_text = items
        .iter()
        .any(|(_, value)| matches!(value, Value::Text(_)));
    if *kind != Type::Any || !has_text {
        return items;
    }
    items
        .into_iter()
        .map(|(key, value)| {
            let text = match &value {
                Value::Number(number) => number.to_string(),
                Value::Bool(bool) => bool.to_string(),
                Value::Null | Value::Text(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => {
                    return (key, value);
                }
            };
            (key, Value::Text(text))
        })
        .collect()
}

/// Texts in byte order, numbers and bools from the least on, and all else by its bytes on the wire.
fn once_each(mut items: Vec<Value>) -> Vec<Value> {
    items.sort_by(|a, b| match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => as_float(a).total_cmp(&as_float(b)),
        _ => msgpack::encode(a).cmp(&msgpack::encode(b)),
    });
    items.dedup();
    items
}

/// Near enough to order by.
fn as_float(number: &Number) -> f64 {
    number.to_string().parse().unwrap_or_default()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
