//! A schema as a message (core).

use super::{Blocks, Literal, LiteralError, Spec, Type, TypeError};
use crate::proto::hclspec::{self as proto, spec::Block};

/// Why a message is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A node has none of the fields that it may have.
    #[error("understand the schema at {path}: nothing is set that is known")]
    Empty {
        /// The names above it.
        path: String,
    },
    /// A node lacks another one below it.
    #[error("understand the schema at {path}: its {field} is missing")]
    Missing {
        /// The names above it.
        path: String,
        /// Which one.
        field: &'static str,
    },
    /// A node has no name, and is no key of an object that could stand for it.
    #[error("understand the schema at {path}: its name is empty")]
    NoName {
        /// The names above it.
        path: String,
    },
    /// A type cannot be read.
    #[error("understand the schema at {path}")]
    Type {
        /// The names above it.
        path: String,
        /// Where and why.
        source: TypeError,
    },
    /// A constant cannot be read.
    #[error("understand the schema at {path}")]
    Literal {
        /// The names above it.
        path: String,
        /// Where and why.
        source: LiteralError,
    },
    /// A block that is found by its labels has none.
    #[error("understand the schema at {path}: a block_map needs a label")]
    NoLabels {
        /// The names above it.
        path: String,
    },
    /// Nodes lie deeper in each other than 32.
    #[error("understand the schema at {path}: it is more than 32 deep")]
    Depth {
        /// The names above it.
        path: String,
    },
}

const MAX_DEPTH: usize = 32;

impl Spec {
    /// Reads the message of a schema. A node that is a key of an object and has no name has that key as its name, as
    /// for the original host.
    ///
    /// # Errors
    /// [`SpecError`], which names the place.
    pub fn from_proto(message: &proto::Spec) -> Result<Self, SpecError> {
        read(message, "", &mut Vec::new())
    }

    /// Gives the message of the schema.
    #[must_use]
    pub fn to_proto(&self) -> proto::Spec {
        let block = match self {
            Self::Object(nodes) => Block::Object(proto::Object {
                attributes: nodes
                    .iter()
                    .map(|(key, node)| (key.clone(), node.to_proto()))
                    .collect(),
            }),
            Self::Array(nodes) => Block::Array(proto::Array {
                values: nodes.iter().map(Self::to_proto).collect(),
            }),
            Self::Attr {
                name,
                kind,
                required,
            } => Block::Attr(proto::Attr {
                name: name.clone(),
                r#type: kind.to_string(),
                required: *required,
            }),
            Self::Block {
                name,
                required,
                nested,
            } => Block::BlockValue(Box::new(proto::Block {
                name: name.clone(),
                required: *required,
                nested: boxed(nested),
            })),
            Self::BlockAttrs {
                name,
                kind,
                required,
            } => Block::BlockAttrs(proto::BlockAttrs {
                name: name.clone(),
                r#type: kind.to_string(),
                required: *required,
            }),
            Self::BlockList(blocks) => Block::BlockList(Box::new(proto::BlockList {
                name: blocks.name.clone(),
                min_items: blocks.min,
                max_items: blocks.max,
                nested: boxed(&blocks.nested),
            })),
            Self::BlockSet(blocks) => Block::BlockSet(Box::new(proto::BlockSet {
                name: blocks.name.clone(),
                min_items: blocks.min,
                max_items: blocks.max,
                nested: boxed(&blocks.nested),
            })),
            Self::BlockMap {
                name,
                labels,
                nested,
            } => Block::BlockMap(Box::new(proto::BlockMap {
                name: name.clone(),
                labels: labels.clone(),
                nested: boxed(nested),
            })),
            Self::Default { primary, default } => Block::Default(Box::new(proto::Default {
                primary: boxed(primary),
                default: boxed(default),
            })),
            Self::Literal(literal) => Block::Literal(proto::Literal {
                value: literal.text().to_owned(),
            }),
        };
        proto::Spec { block: Some(block) }
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the field of the message is optional"
)]
fn boxed(node: &Spec) -> Option<Box<proto::Spec>> {
    Some(Box::new(node.to_proto()))
}

/// The names above a node.
type Path = Vec<String>;

fn shown(path: &Path) -> String {
    if path.is_empty() {
        "its top".to_owned()
    } else {
        path.join(".")
    }
}

/// `key` is that of the object around it; empty if there is none.
fn read(message: &proto::Spec, key: &str, path: &mut Path) -> Result<Spec, SpecError> {
    if path.len() > MAX_DEPTH {
        return Err(SpecError::Depth { path: shown(path) });
    }
    let Some(block) = &message.block else {
        return Err(SpecError::Empty { path: shown(path) });
    };
    Ok(match block {
        Block::Object(object) => Spec::Object(
            object
                .attributes
                .iter()
                .map(|(key, node)| {
                    Ok((
                        key.clone(),
                        within(path, key, |path| read(node, key, path))?,
                    ))
                })
                .collect::<Result<_, _>>()?,
        ),
        Block::Array(array) => Spec::Array(
            array
                .values
                .iter()
                .enumerate()
                .map(|(index, node)| within(path, &index.to_string(), |path| read(node, "", path)))
                .collect::<Result<_, _>>()?,
        ),
        Block::Attr(attr) => Spec::Attr {
            name: name(&attr.name, key, path)?,
            kind: kind(&attr.r#type, path)?,
            required: attr.required,
        },
        Block::BlockValue(block) => Spec::Block {
            name: name(&block.name, key, path)?,
            required: block.required,
            nested: nested(&block.nested, "nested", path)?,
        },
        Block::BlockAttrs(block) => Spec::BlockAttrs {
            name: name(&block.name, key, path)?,
            kind: kind(&block.r#type, path)?,
            required: block.required,
        },
        Block::BlockList(list) => Spec::BlockList(Blocks {
            name: name(&list.name, key, path)?,
            min: list.min_items,
            max: list.max_items,
            nested: nested(&list.nested, "nested", path)?,
        }),
        Block::BlockSet(set) => Spec::BlockSet(Blocks {
            name: name(&set.name, key, path)?,
            min: set.min_items,
            max: set.max_items,
            nested: nested(&set.nested, "nested", path)?,
        }),
        Block::BlockMap(map) if map.labels.is_empty() => {
            return Err(SpecError::NoLabels { path: shown(path) });
        }
        Block::BlockMap(map) => Spec::BlockMap {
            name: name(&map.name, key, path)?,
            labels: map.labels.clone(),
            nested: nested(&map.nested, "nested", path)?,
        },
        Block::Default(default) => Spec::Default {
            primary: nested(&default.primary, "primary", path)?,
            default: nested(&default.default, "default", path)?,
        },
        Block::Literal(literal) => {
            Spec::Literal(Literal::parse(&literal.value).map_err(|source| {
                let path = shown(path);
                SpecError::Literal { path, source }
            })?)
        }
    })
}

fn within<T>(
    path: &mut Path,
    key: &str,
    read: impl FnOnce(&mut Path) -> Result<T, SpecError>,
) -> Result<T, SpecError> {
    path.push(key.to_owned());
    let result = read(path);
    path.pop();
    result
}

fn name(name: &str, key: &str, path: &Path) -> Result<String, SpecError> {
    match [name, key].into_iter().find(|name| !name.is_empty()) {
        Some(name) => Ok(name.to_owned()),
        None => Err(SpecError::NoName { path: shown(path) }),
    }
}

fn kind(text: &str, path: &Path) -> Result<Type, SpecError> {
    Type::parse(text).map_err(|source| {
        let path = shown(path);
        SpecError::Type { path, source }
    })
}

#[expect(clippy::ref_option, reason = "the field of the message is optional")]
fn nested(
    node: &Option<Box<proto::Spec>>,
    field: &'static str,
    path: &mut Path,
) -> Result<Box<Spec>, SpecError> {
    let Some(node) = node else {
        let path = shown(path);
        return Err(SpecError::Missing { path, field });
    };
    Ok(Box::new(within(path, field, |path| read(node, "", path))?))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn blocks() -> Blocks {
        Blocks {
            name: "b".to_owned(),
            min: 1,
            max: 2,
            nested: Box::new(Spec::object([])),
        }
    }

    #[test]
    fn every_kind_of_node_survives_the_wire() {
        let name = || "n".to_owned();
        let nested = || Box::new(Spec::optional("x", Type::Any));
        let spec = Spec::object([
            (
                "attr",
                Spec::required("a", Type::List(Box::new(Type::String))),
            ),
            ("array", Spec::Array(vec![Spec::optional("z", Type::Bool)])),
            (
                "block",
                Spec::Block {
                    name: name(),
                    required: true,
                    nested: nested(),
                },
            ),
            (
                "attrs",
                Spec::BlockAttrs {
                    name: name(),
                    kind: Type::Number,
                    required: true,
                },
            ),
            ("list", Spec::BlockList(blocks())),
            ("set", Spec::BlockSet(blocks())),
            (
                "map",
                Spec::BlockMap {
                    name: name(),
                    labels: vec![name()],
                    nested: nested(),
                },
            ),
            ("default", Spec::optional("d", Type::String).or("5s".into())),
        ]);
        let bytes = spec.to_proto().encode_to_vec();
        let message = proto::Spec::decode(bytes.as_slice()).unwrap();
        assert_eq!(Spec::from_proto(&message), Ok(spec));
    }

    #[test]
    fn an_attribute_has_the_bytes_of_its_field_numbers() {
        let spec = Spec::object([("a", Spec::required("a", Type::Bool))]);
        // Spec.object, attributes, key 1 and value 2, Spec.attr, name 1, type 2, required 3.
        assert_eq!(
            spec.to_proto().encode_to_vec(),
            b"\x0a\x14\x0a\x12\x0a\x01a\x12\x0d\x1a\x0b\x0a\x01a\x12\x04bool\x18\x01"
        );
    }

    #[test]
    fn what_has_no_name_has_the_key_of_its_object() {
        let nested = || Some(Box::new(Spec::optional("x", Type::Any).to_proto()));
        let block = proto::Block {
            nested: nested(),
            ..proto::Block::default()
        };
        let list = proto::BlockList {
            nested: nested(),
            ..proto::BlockList::default()
        };
        let attr = proto::Attr {
            r#type: "string".to_owned(),
            ..proto::Attr::default()
        };
        let each = [
            ("attr", Block::Attr(attr)),
            ("block", Block::BlockValue(Box::new(block))),
            ("list", Block::BlockList(Box::new(list))),
        ];
        for (key, block) in each {
            let attributes = [(key.to_owned(), proto::Spec { block: Some(block) })].into();
            let block = Some(Block::Object(proto::Object { attributes }));
            let Spec::Object(nodes) = Spec::from_proto(&proto::Spec { block }).unwrap() else {
                panic!("{key} is no object");
            };
            assert_eq!(nodes[key].own_name(), Some(key));
        }
    }

    #[test]
    fn an_error_names_the_place() {
        let top = Spec::from_proto(&proto::Spec { block: None }).unwrap_err();
        assert_eq!(
            top.to_string(),
            "understand the schema at its top: nothing is set that is known"
        );
        let within = |block| {
            let attributes = [("k".to_owned(), proto::Spec { block: Some(block) })].into();
            let block = Some(Block::Object(proto::Object { attributes }));
            Spec::from_proto(&proto::Spec { block }).unwrap_err()
        };
        let strange = within(Block::Attr(proto::Attr {
            name: "a".to_owned(),
            r#type: "strng".to_owned(),
            required: false,
        }));
        assert!(
            matches!(&strange, SpecError::Type { path, .. } if path == "k"),
            "{strange:?}"
        );
        let unlabelled = within(Block::BlockMap(Box::default()));
        assert_eq!(
            unlabelled.to_string(),
            "understand the schema at k: a block_map needs a label"
        );
        let attr = proto::Attr {
            r#type: "string".to_owned(),
            ..proto::Attr::default()
        };
        let attr = Block::Attr(attr);
        let values = vec![proto::Spec {
            block: Some(attr.clone()),
        }];
        let unnamed = within(Block::Array(proto::Array { values }));
        let path = "k.0".to_owned();
        assert_eq!(unnamed, SpecError::NoName { path });
        let path = "its top".to_owned();
        let top = Spec::from_proto(&proto::Spec { block: Some(attr) });
        assert_eq!(top, Err(SpecError::NoName { path }));
        let missing = within(Block::Default(Box::default()));
        assert_eq!(
            missing.to_string(),
            "understand the schema at k: its primary is missing"
        );
        let mut deep = proto::Spec { block: None };
        for _ in 0..90 {
            let values = vec![deep];
            deep = proto::Spec {
                block: Some(Block::Array(proto::Array { values })),
            };
        }
        assert!(matches!(
            Spec::from_proto(&deep),
            Err(SpecError::Depth { .. })
        ));
    }
}
