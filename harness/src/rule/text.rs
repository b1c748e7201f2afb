//! The form of SPEC.md: text in, rules or the line of the first slip out. (core)

use std::collections::BTreeMap;
use std::fmt;

use super::{Family, Level, NotARuleId, Role, Rule, RuleId, UnknownName};

/// What is wrong with a specification's text. Lines are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum SpecError {
    #[error("line {line}: a rule outside a family's section")]
    OutsideFamily { line: usize },
    #[error("line {line}: the section of {family} stands twice")]
    FamilyTwice { line: usize, family: Family },
    #[error("line {line}: no section for {family}, or one without rules")]
    FamilyMissing { line: usize, family: Family },
    #[error("line {line}: a rule's heading is `### ID: title`")]
    Heading { line: usize },
    #[error("line {line}: {source}")]
    Id { line: usize, source: NotARuleId },
    #[error("line {line}: {id} does not belong into the section of {family}")]
    WrongSection {
        line: usize,
        id: RuleId,
        family: Family,
    },
    #[error("line {line}: {id} stands twice, first on line {first}")]
    Duplicate {
        line: usize,
        id: RuleId,
        first: usize,
    },
    #[error("line {line}: {id} comes after a higher number")]
    Order { line: usize, id: RuleId },
    #[error("line {line}: a key is written `- key: value`")]
    KeyForm { line: usize },
    #[error(
        "line {line}: unknown key `{key}`; known are who, level, profile, capability and from outside"
    )]
    UnknownKey { line: usize, key: String },
    #[error("line {line}: the key `{key}` stands twice")]
    KeyTwice { line: usize, key: String },
    #[error("line {line}: {id} has no `{key}`")]
    KeyMissing {
        line: usize,
        id: RuleId,
        key: &'static str,
    },
    #[error("line {line}: {source}")]
    Value { line: usize, source: UnknownName },
    #[error("line {line}: a level is MUST or SHOULD, not `{value}`")]
    Level { line: usize, value: String },
    #[error("line {line}: the role {role} stands twice")]
    RoleTwice { line: usize, role: Role },
    #[error("line {line}: a capability is lower-case letters, dots and hyphens, not `{value}`")]
    Capability { line: usize, value: String },
    #[error("line {line}: {id} has no {part}")]
    PartMissing { line: usize, id: RuleId, part: Part },
    #[error("line {line}: {part} is out of place")]
    PartOrder { line: usize, part: Part },
    #[error("line {line}: unknown part `{text}`; known are **Why.** and **Seen.**")]
    UnknownPart { line: usize, text: String },
    #[error("line {line}: a rule's body holds paragraphs only, not `{text}`")]
    NotAParagraph { line: usize, text: String },
}

/// The parts of a rule's body, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The rule itself.
    Text,
    /// The reason for it.
    Why,
    /// The failures behind it.
    Seen,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.marker())
    }
}

impl Part {
    /// What a paragraph of the part begins with; the rule itself has no marker.
    fn marker(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Why => "**Why.**",
            Self::Seen => "**Seen.**",
        }
    }
}

/// Reads a whole specification.
pub(super) fn parse(text: &str) -> Result<BTreeMap<RuleId, Rule>, SpecError> {
    let mut parser = Parser::default();
    for (index, line) in text.lines().enumerate() {
        parser.line(index + 1, line.trim_end())?;
    }
    parser.finish(text.lines().count().max(1))
}

/// Reads line by line; holds the section and the rule that it is in.
#[derive(Default)]
struct Parser {
    families: BTreeMap<Family, usize>,
    family: Option<Family>,
    draft: Option<Draft>,
    rules: BTreeMap<RuleId, Rule>,
    first_lines: BTreeMap<RuleId, usize>,
}

impl Parser {
    fn line(&mut self, line: usize, text: &str) -> Result<(), SpecError> {
        if let Some(heading) = text.strip_prefix("### ") {
            self.end_rule()?;
            self.begin_rule(line, heading)
        } else if let Some(heading) = text.strip_prefix("## ") {
            self.end_rule()?;
            self.begin_section(line, heading)
        } else if let Some(draft) = &mut self.draft {
            draft.line(line, text)
        } else if self.family.is_some() && text.starts_with('#') {
            Err(SpecError::Heading { line })
        } else {
            Ok(()) // Prose of the introduction or of a family.
        }
    }

    fn begin_section(&mut self, line: usize, heading: &str) -> Result<(), SpecError> {
        self.family = heading
            .split_once(':')
            .and_then(|(name, _)| name.parse().ok());
        match self.family {
            Some(family) if self.families.insert(family, line).is_some() => {
                Err(SpecError::FamilyTwice { line, family })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn begin_rule(&mut self, line: usize, heading: &str) -> Result<(), SpecError> {
        let family = self.family.ok_or(SpecError::OutsideFamily { line })?;
        let (id, title) = heading
            .split_once(": ")
            .ok_or(SpecError::Heading { line })?;
        if title.trim().is_empty() || title.ends_with('.') {
            return Err(SpecError::Heading { line });
        }
        let id = id
            .parse::<RuleId>()
            .map_err(|source| SpecError::Id { line, source })?;
        if id.family() != family {
            return Err(SpecError::WrongSection { line, id, family });
        }
        if let Some(&first) = self.first_lines.get(&id) {
            return Err(SpecError::Duplicate { line, id, first });
        }
        if self
            .first_lines
            .keys()
            .any(|other| other.family() == family && *other > id)
        {
            return Err(SpecError::Order { line, id });
        }
        self.first_lines.insert(id.clone(), line);
        self.draft = Some(Draft::new(line, id, title.trim().to_owned()));
        Ok(())
    }

    fn end_rule(&mut self) -> Result<(), SpecError> {
        if let Some(draft) = self.draft.take() {
            let rule = draft.finish()?;
            self.rules.insert(rule.id.clone(), rule);
        }
        Ok(())
    }

    fn finish(mut self, last_line: usize) -> Result<BTreeMap<RuleId, Rule>, SpecError> {
        self.end_rule()?;
        for &family in Family::ALL {
            if !self.rules.keys().any(|id| id.family() == family) {
                let line = self.families.get(&family).copied().unwrap_or(last_line);
                return Err(SpecError::FamilyMissing { line, family });
            }
        }
        Ok(self.rules)
    }
}

/// A key's value and the line on which it begins.
struct Value {
    line: usize,
    text: String,
}

/// The names of the keys, which are also their order in messages.
const KEYS: [&str; 5] = ["who", "level", "profile", "capability", "from outside"];

/// A rule while it is being read.
struct Draft {
    line: usize,
    id: RuleId,
    title: String,
    keys: BTreeMap<&'static str, Value>,
    last_key: Option<&'static str>,
    /// Finished and current paragraphs of each part.
    parts: BTreeMap<Part, Vec<String>>,
    part: Part,
    in_body: bool,
    in_paragraph: bool,
}

impl Draft {
    fn new(line: usize, id: RuleId, title: String) -> Self {
        Self {
            line,
            id,
            title,
            keys: BTreeMap::new(),
            last_key: None,
            parts: BTreeMap::new(),
            part: Part::Text,
            in_body: false,
            in_paragraph: false,
        }
    }

    fn line(&mut self, line: usize, text: &str) -> Result<(), SpecError> {
        if text.is_empty() {
            self.in_paragraph = false;
            self.in_body = !self.keys.is_empty();
            Ok(())
        } else if self.in_body {
            self.body_line(line, text)
        } else {
            self.key_line(line, text)
        }
    }

    fn key_line(&mut self, line: usize, text: &str) -> Result<(), SpecError> {
        if let Some(more) = text.strip_prefix("  ") {
            let value = self.last_key.and_then(|key| self.keys.get_mut(key));
            let value = value.ok_or(SpecError::KeyForm { line })?;
            value.text.push(' ');
            value.text.push_str(more.trim());
            return Ok(());
        }
        let (key, value) = text
            .strip_prefix("- ")
            .and_then(|entry| entry.split_once(": "))
            .ok_or(SpecError::KeyForm { line })?;
        let Some(known) = KEYS.iter().copied().find(|known| *known == key) else {
            return Err(SpecError::UnknownKey {
                line,
                key: key.to_owned(),
            });
        };
        let value = Value {
            line,
            text: value.trim().to_owned(),
        };
        if self.keys.insert(known, value).is_some() {
            return Err(SpecError::KeyTwice {
                line,
                key: key.to_owned(),
            });
        }
        self.last_key = Some(known);
        Ok(())
    }

    fn body_line(&mut self, line: usize, text: &str) -> Result<(), SpecError> {
        if text.starts_with(['#', '|', '>', ' '])
            || text.starts_with("- ")
            || text.starts_with("```")
        {
            return Err(SpecError::NotAParagraph {
                line,
                text: text.to_owned(),
            });
        }
        if self.in_paragraph {
            if let Some(paragraph) = self
                .parts
                .get_mut(&self.part)
                .and_then(|all| all.last_mut())
            {
                paragraph.push(' ');
                paragraph.push_str(text);
            }
            return Ok(());
        }
        let text = if text.starts_with("**") {
            self.begin_part(line, text)?
        } else {
            text
        };
        self.parts
            .entry(self.part)
            .or_default()
            .push(text.to_owned());
        self.in_paragraph = true;
        Ok(())
    }

    /// Goes on to the part that a marker names and returns what follows the marker.
    fn begin_part<'t>(&mut self, line: usize, text: &'t str) -> Result<&'t str, SpecError> {
        let marked = [Part::Why, Part::Seen]
            .into_iter()
            .find_map(|part| Some((part, text.strip_prefix(part.marker())?)));
        let Some((part, rest)) = marked else {
            return Err(SpecError::UnknownPart {
                line,
                text: text.to_owned(),
            });
        };
        let expected = match self.part {
            Part::Text => Some(Part::Why),
            Part::Why => Some(Part::Seen),
            Part::Seen => None,
        };
        if expected != Some(part) {
            return Err(SpecError::PartOrder { line, part });
        }
        if !self.parts.contains_key(&self.part) {
            return Err(SpecError::PartMissing {
                line,
                id: self.id.clone(),
                part: self.part,
            });
        }
        let rest = rest.trim_start();
        if rest.is_empty() {
            return Err(SpecError::PartMissing {
                line,
                id: self.id.clone(),
                part,
            });
        }
        self.part = part;
        Ok(rest)
    }

    fn finish(mut self) -> Result<Rule, SpecError> {
        let who = roles(&self.required("who")?)?;
        let level = self.required("level")?;
        let level = Level::ALL
            .iter()
            .copied()
            .find(|one| one.keyword() == level.text)
            .ok_or(SpecError::Level {
                line: level.line,
                value: level.text.clone(),
            })?;
        let profile = self.required("profile")?;
        let profile = profile.text.parse().map_err(|source| SpecError::Value {
            line: profile.line,
            source,
        })?;
        let capability = self.keys.remove("capability").map(capability).transpose()?;
        let untestable = self.keys.remove("from outside").map(|value| value.text);
        Ok(Rule {
            text: self.joined(Part::Text)?,
            why: self.joined(Part::Why)?,
            seen: self.joined(Part::Seen)?,
            id: self.id,
            title: self.title,
            who,
            level,
            profile,
            capability,
            untestable,
        })
    }

    fn required(&mut self, key: &'static str) -> Result<Value, SpecError> {
        self.keys.remove(key).ok_or_else(|| SpecError::KeyMissing {
            line: self.line,
            id: self.id.clone(),
            key,
        })
    }

    fn joined(&mut self, part: Part) -> Result<String, SpecError> {
        let paragraphs = self
            .parts
            .remove(&part)
            .ok_or_else(|| SpecError::PartMissing {
                line: self.line,
                id: self.id.clone(),
                part,
            })?;
        Ok(paragraphs.join("\n\n"))
    }
}

fn roles(value: &Value) -> Result<Vec<Role>, SpecError> {
    let line = value.line;
    let mut roles = Vec::new();
    for name in value.text.split(',') {
        let role = name
            .trim()
            .parse()
            .map_err(|source| SpecError::Value { line, source })?;
        if roles.contains(&role) {
            return Err(SpecError::RoleTwice { line, role });
        }
        roles.push(role);
    }
    Ok(roles)
}

fn capability(value: Value) -> Result<String, SpecError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'.' || byte == b'-';
    if value.text.is_empty() || !value.text.bytes().all(fits) {
        return Err(SpecError::Capability {
            line: value.line,
            value: value.text,
        });
    }
    Ok(value.text)
}
