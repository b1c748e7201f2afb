//! The schema of a configuration (core; this file has the type itself and re-exports the rest).
//!
//! A plugin tells its schema as a [`Spec`]; a host checks what somebody wrote by it with
//! [`Spec::check`], and sends the result as MessagePack ([`crate::msgpack::encode`]).

mod check;
mod kind;
mod literal;
mod nearest;
mod wire;

use std::collections::BTreeMap;

pub use check::{Fault, Faults};
pub use kind::{Type, TypeError};
pub use literal::{Literal, LiteralError};
pub use wire::SpecError;

/// One node of a schema: which value it gives, and which names of a body it takes it from.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// An object: each key with what its own node gives, all out of the same body.
    Object(BTreeMap<String, Self>),
    /// A list of what each node gives, all out of the same body.
    Array(Vec<Self>),
    /// The value of an attribute, or null.
    Attr {
        /// Its name in the body.
        name: String,
        /// What it must be.
        kind: Type,
        /// Whether it must be set.
        required: bool,
    },
    /// What the body of a block gives, or null.
    Block {
        /// The name of the block.
        name: String,
        /// Whether it must be there.
        required: bool,
        /// What its body gives.
        nested: Box<Self>,
    },
    /// A map of the attributes of a block, of any name, or null.
    BlockAttrs {
        /// The name of the block.
        name: String,
        /// What each attribute must be.
        kind: Type,
        /// Whether the block must be there.
        required: bool,
    },
    /// A list of what the blocks of one name give.
    BlockList(Blocks),
    /// The same without repetitions, in an order that says nothing.
    BlockSet(Blocks),
    /// A map from labels to what the blocks give, one level for each label.
    BlockMap {
        /// The name of the blocks.
        name: String,
        /// What the labels are called.
        labels: Vec<String>,
        /// What the body of a block gives.
        nested: Box<Self>,
    },
    /// What the first node gives, or the second where that is null.
    Default {
        /// What is wanted.
        primary: Box<Self>,
        /// What stands in for it.
        default: Box<Self>,
    },
    /// A constant, or an expression that nobody computes here.
    Literal(Literal),
}

/// Blocks of one name that may stand repeatedly.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocks {
    /// The name of the blocks.
    pub name: String,
    /// How many there must be.
    pub min: u64,
    /// How many there may be; 0 is no limit.
    pub max: u64,
    /// What the body of each gives.
    pub nested: Box<Spec>,
}

impl Spec {
    /// Gives an object of attributes and blocks under their own names.
    #[must_use]
    pub fn object<const N: usize>(nodes: [(&str, Self); N]) -> Self {
        Self::Object(
            nodes
                .into_iter()
                .map(|(name, node)| (name.to_owned(), node))
                .collect(),
        )
    }

    /// Gives an attribute that may be left out.
    #[must_use]
    pub fn optional(name: &str, kind: Type) -> Self {
        let name = name.to_owned();
        let required = false;
        Self::Attr {
            name,
            kind,
            required,
        }
    }

    /// Gives an attribute that must be set.
    #[must_use]
    pub fn required(name: &str, kind: Type) -> Self {
        let name = name.to_owned();
        let required = true;
        Self::Attr {
            name,
            kind,
            required,
        }
    }

    /// Gives this node with a constant where it gives null.
    #[must_use]
    pub fn or(self, literal: Literal) -> Self {
        Self::Default {
            primary: Box::new(self),
            default: Box::new(Self::Literal(literal)),
        }
    }
}
