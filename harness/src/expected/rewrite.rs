//! Changes to the text of a file of expected failures that leave everything else as it is. (core)

use std::collections::{BTreeMap, BTreeSet};

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value};

use crate::finding::Shape;

/// The text can't be changed entry by entry.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// It is no TOML.
    #[error("it is no TOML")]
    Syntax(#[from] toml_edit::TomlError),
    /// The entries do not stand as tables of their own.
    #[error("`expect` is a list in one place; write each entry as a table of its own, [[expect]]")]
    NoTables,
}

/// What becomes of an entry that does not stay as it is.
enum Step {
    Remove,
    Reshape(BTreeSet<Shape>, String),
    Narrow(Vec<String>),
}

/// A text that is being changed. Entries are named by their number in the text, from 1.
pub(super) struct Rewrite {
    document: DocumentMut,
    steps: BTreeMap<usize, Step>,
    added: Vec<Table>,
}

impl Rewrite {
    /// Begins with the text as it is.
    ///
    /// # Errors
    /// It is no TOML, or `expect` is no list of tables.
    pub(super) fn begin(text: &str) -> Result<Self, RewriteError> {
        let document: DocumentMut = text.parse()?;
        let is_fit = document.get("expect").is_none_or(Item::is_array_of_tables);
        if !is_fit {
            return Err(RewriteError::NoTables);
        }
        Ok(Self {
            document,
            steps: BTreeMap::new(),
            added: Vec::new(),
        })
    }

    /// Takes an entry out, and the comment right above it.
    pub(super) fn remove(&mut self, number: usize) {
        self.steps.insert(number, Step::Remove);
    }

    /// Gives an entry other shapes and another reason.
    pub(super) fn reshape(&mut self, number: usize, shapes: &BTreeSet<Shape>, reason: &str) {
        let step = Step::Reshape(shapes.clone(), reason.to_owned());
        self.steps.insert(number, step);
    }

    /// Puts one entry for each case in the place of an entry.
    pub(super) fn narrow(&mut self, number: usize, cases: &[String]) {
        self.steps.insert(number, Step::Narrow(cases.to_vec()));
    }

    /// Adds an entry behind all others.
    pub(super) fn add(&mut self, case: &str, shapes: &BTreeSet<Shape>, reason: &str) {
        let mut table = Table::new();
        table.insert("case", Item::Value(case.into()));
        table.insert("outcome", Item::Value("fail".into()));
        table.insert("shape", Item::Value(shape_value(shapes)));
        table.insert("reason", Item::Value(reason.into()));
        table.decor_mut().set_prefix("\n");
        self.added.push(table);
    }

    /// The text with all changes made.
    pub(super) fn end(mut self) -> String {
        let old = match self.document.remove("expect") {
            Some(Item::ArrayOfTables(old)) => old,
            Some(_) | None => ArrayOfTables::new(),
        };
        let mut kept = Kept::default();
        for (index, table) in old.iter().enumerate() {
            match self.steps.get(&(index + 1)) {
                None => kept.push(table.clone()),
                Some(Step::Remove) => kept.leave_out(table),
                Some(Step::Reshape(shapes, reason)) => {
                    let mut table = table.clone();
                    set(&mut table, "shape", shape_value(shapes));
                    set(&mut table, "reason", reason.as_str().into());
                    kept.push(table);
                }
                Some(Step::Narrow(cases)) => {
                    for (place, case) in cases.iter().enumerate() {
                        let mut table = table.clone();
                        set(&mut table, "case", case.as_str().into());
                        if place > 0 {
                            table.decor_mut().set_prefix("\n");
                        }
                        kept.push(table);
                    }
                }
            }
        }
        if old.is_empty() {
            // What stands in a file without entries stands above those that come.
            kept.header = self
                .document
                .trailing()
                .as_str()
                .unwrap_or_default()
                .to_owned();
            self.document.set_trailing("");
        }
        for table in self.added {
            kept.push(table);
        }
        if kept.header.trim().is_empty() {
            kept.header.clear();
        }
        if !kept.header.is_empty() {
            let trailing = self.document.trailing().as_str().unwrap_or_default();
            let trailing = format!("{}{trailing}", kept.header);
            self.document.set_trailing(trailing);
        }
        if !kept.tables.is_empty() {
            let item = Item::ArrayOfTables(kept.tables);
            self.document.insert("expect", item);
        }
        let text = self.document.to_string();
        text.trim_start_matches('\n').to_owned()
    }
}

/// The entries that stay, and comments that wait for the next one of them.
#[derive(Default)]
struct Kept {
    tables: ArrayOfTables,
    /// Comments that stood above an entry which went, but are not about it.
    header: String,
}

impl Kept {
    fn push(&mut self, mut table: Table) {
        if !self.header.trim().is_empty() {
            let header = std::mem::take(&mut self.header);
            let prefix = format!(
                "{}\n\n{}",
                header.trim_end_matches('\n'),
                prefix(&table).trim_start_matches('\n')
            );
            table.decor_mut().set_prefix(prefix);
        }
        let place = isize::try_from(self.tables.len()).unwrap_or(isize::MAX);
        table.set_position(Some(place));
        self.tables.push(table);
    }

    /// Keeps what stands above the table, but for the comment right above it.
    fn leave_out(&mut self, table: &Table) {
        let prefix = prefix(table);
        if let Some(end) = prefix.rfind("\n\n") {
            let above = &prefix[..end + 2];
            if !above.trim().is_empty() {
                self.header.push_str(above);
            }
        }
    }
}

fn prefix(table: &Table) -> &str {
    let prefix = table.decor().prefix();
    prefix
        .and_then(|prefix| prefix.as_str())
        .unwrap_or_default()
}

/// Replaces a value and keeps the comment behind it.
fn set(table: &mut Table, key: &str, mut value: Value) {
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        *value.decor_mut() = old.decor().clone();
    }
    table.insert(key, Item::Value(value));
}

/// One shape as a text, several as a list.
fn shape_value(shapes: &BTreeSet<Shape>) -> Value {
    let names: Vec<&str> = shapes.iter().map(|shape| shape.as_str()).collect();
    match names.as_slice() {
        [name] => (*name).into(),
        names => Value::Array(names.iter().copied().collect::<Array>()),
    }
}
