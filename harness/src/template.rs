//! Command templates: a line of words with placeholders becomes a command. (core)
//!
//! A template is split as a shell splits it, but no shell runs. A word that is exactly `{task}`
//! becomes the task's words, one by one; inside a longer word `{task}` becomes one shell-quoted
//! text. Any other `{name}` becomes one value. Where it stands in a word with spaces, which is a
//! script for a shell, and outside of that script's own quotes, the value is quoted for the shell:
//! a path may have a space. Braces around anything but lower-case letters, digits and underscores
//! stay as they are, and so does a shell's `${name}`.

use std::collections::BTreeMap;

/// The placeholder of the task's own command.
const TASK: &str = "task";

/// The placeholder of this program, whose value is one text that is quoted for a shell already.
const SELF: &str = "self";

/// What the placeholders stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// The words that `{task}` stands for; empty if there is no such placeholder here.
    pub task: Vec<String>,
    /// Every other placeholder by its name without braces.
    pub single: BTreeMap<&'static str, String>,
}

/// What is wrong with a template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A quote is not closed.
    #[error("the template `{template}` has a quote that is not closed")]
    Quote {
        /// The template.
        template: String,
        /// Where it came from.
        source: shell_words::ParseError,
    },
    /// There is no program.
    #[error("the template is empty; it needs at least a program")]
    Empty,
    /// A placeholder that does not exist here.
    #[error("unknown placeholder `{{{name}}}`; known are {known}")]
    Unknown {
        /// The placeholder's name without braces.
        name: String,
        /// Those that exist, in braces.
        known: String,
    },
    /// None of the placeholders of which one is needed.
    #[error("the template needs {needed}, or the subject is never told of it")]
    Missing {
        /// Those that are needed.
        needed: String,
    },
}

/// The words of a template.
///
/// # Errors
/// [`TemplateError::Quote`] and [`TemplateError::Empty`].
pub fn split(template: &str) -> Result<Vec<String>, TemplateError> {
    let words = shell_words::split(template).map_err(|source| TemplateError::Quote {
        template: template.to_owned(),
        source,
    })?;
    if words.is_empty() {
        return Err(TemplateError::Empty);
    }
    Ok(words)
}

/// The command that a template stands for: the program and its arguments.
///
/// # Errors
/// [`TemplateError::Unknown`] and [`TemplateError::Empty`].
pub fn expand(words: &[String], values: &Values) -> Result<Vec<String>, TemplateError> {
    let mut command = Vec::new();
    for word in words {
        if word == "{task}" && !values.task.is_empty() {
            command.extend(values.task.iter().cloned());
            continue;
        }
        command.push(expand_word(word, values)?);
    }
    if command.first().is_none_or(String::is_empty) {
        return Err(TemplateError::Empty);
    }
    Ok(command)
}

/// Checks that a template names at least one of these placeholders.
///
/// # Errors
/// [`TemplateError::Missing`].
pub fn require_one_of(words: &[String], names: &[&str]) -> Result<(), TemplateError> {
    if words
        .iter()
        .flat_map(|word| placeholders(word))
        .any(|found| names.contains(&found))
    {
        return Ok(());
    }
    let needed: Vec<String> = names.iter().map(|name| format!("`{{{name}}}`")).collect();
    Err(TemplateError::Missing {
        needed: needed.join(" or "),
    })
}

/// The names of a word's placeholders.
fn placeholders(word: &str) -> impl Iterator<Item = &str> {
    pieces(word).filter_map(|piece| match piece {
        Piece::Name(name) => Some(name),
        Piece::Text(_) => None,
    })
}

fn expand_word(word: &str, values: &Values) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(word.len());
    let is_script = word.contains(char::is_whitespace);
    let mut quote = Quote::None;
    for piece in pieces(word) {
        match piece {
            Piece::Text(text) => {
                out.push_str(text);
                quote = quote.behind(text);
            }
            Piece::Name(TASK) if !values.task.is_empty() => {
                for (index, word) in values.task.iter().enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    out.push_str(&shell_words::quote(word));
                }
            }
            Piece::Name(name) => match values.single.get(name) {
                Some(value) if is_script && quote == Quote::None && name != SELF => {
                    out.push_str(&shell_words::quote(value));
                }
                Some(value) => out.push_str(value),
                None => return Err(unknown(name, values)),
            },
        }
    }
    Ok(out)
}

/// In which quotes of a shell's script a place lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

impl Quote {
    /// Those behind a piece of the script that begins in these.
    fn behind(self, text: &str) -> Self {
        let mut quote = self;
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            quote = match (quote, character) {
                (Self::None | Self::Double, '\\') => {
                    characters.next();
                    quote
                }
                (Self::None, '\'') => Self::Single,
                (Self::None, '"') => Self::Double,
                (Self::Single, '\'') | (Self::Double, '"') => Self::None,
                (Self::None | Self::Single | Self::Double, _) => quote,
            };
        }
        quote
    }
}

fn unknown(name: &str, values: &Values) -> TemplateError {
    let task = (!values.task.is_empty()).then_some(TASK);
    let mut known: Vec<String> = task
        .into_iter()
        .chain(values.single.keys().copied())
        .map(|name| format!("{{{name}}}"))
        .collect();
    known.sort();
    TemplateError::Unknown {
        name: name.to_owned(),
        known: known.join(" "),
    }
}

/// A part of a word.
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn pieces(word: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == word.len() {
            return None;
        }
        if let Some(name) = name_at(word, at) {
            at += name.len() + 2;
            return Some(Piece::Name(name));
        }
        let start = at;
        let next = word[start..]
            .match_indices('{')
            .map(|(offset, _)| start + offset);
        at = next
            .into_iter()
            .find(|&at| name_at(word, at).is_some())
            .unwrap_or(word.len());
        Some(Piece::Text(&word[start..at]))
    })
}

/// `name` if `{name}` stands at this place and no `$` before it.
fn name_at(word: &str, at: usize) -> Option<&str> {
    let (name, _) = word[at..].strip_prefix('{')?.split_once('}')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    (is_name && !word[..at].ends_with('$')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values {
            task: vec!["/bin/my task".into(), "--x".into(), "it's".into()],
            single: BTreeMap::from([("stdout", "/f/o".to_owned()), ("stderr", "/f/e".to_owned())]),
        }
    }

    fn run(template: &str) -> Result<Vec<String>, TemplateError> {
        expand(&split(template)?, &values())
    }

    #[test]
    fn a_lone_task_becomes_its_words() {
        let command = run("./drv --out {stdout} -- {task} end").unwrap();
        assert_eq!(
            command,
            [
                "./drv",
                "--out",
                "/f/o",
                "--",
                "/bin/my task",
                "--x",
                "it's",
                "end"
            ]
        );
    }

    #[test]
    fn a_task_inside_a_word_is_quoted_for_a_shell() {
        let command = run("sh -c 'exec {task} >{stdout} 2>{stderr}'").unwrap();
        assert_eq!(command[..2], ["sh", "-c"]);
        let inner = command[2].strip_prefix("exec ").unwrap();
        let inner = inner.strip_suffix(" >/f/o 2>/f/e").unwrap();
        assert_eq!(shell_words::split(inner).unwrap(), values().task);
    }

    #[test]
    fn a_path_with_a_space_is_one_word_of_a_script() {
        let mut values = values();
        values.single.insert("stdout", "/my logs/it's".to_owned());
        values.single.insert("self", "'/my suite' x".to_owned());
        let of = |word: &str| expand_word(word, &values).unwrap();
        let words = |script: &str| shell_words::split(&of(script)).unwrap();
        let path = "/my logs/it's";
        assert_eq!(words("cat {stdout} >{stderr}"), ["cat", path, ">/f/e"]);
        assert_eq!(words("cat \"{stdout}\""), ["cat", path]);
        assert_eq!(words("x 'a \"b' {stdout}"), ["x", "a \"b", path]);
        assert_eq!(words(r#"x \" {stdout}"#), ["x", "\"", path]);
        assert_eq!(words(r#"x "\"{stdout}\"""#), ["x", "\"/my logs/it's\""]);
        assert_eq!(words("{self} run"), ["/my suite", "x", "run"]);
        // A word without a space is no script.
        assert_eq!(of("--out={stdout}"), "--out=/my logs/it's");
    }

    #[test]
    fn braces_around_anything_else_stay() {
        assert_eq!(
            run("awk '{print $1} {} {A} {{stdout}}'").unwrap()[1],
            "{print $1} {} {A} {/f/o}"
        );
        assert_eq!(run("x {0a} é{stdout}é").unwrap()[1..], ["{0a}", "é/f/oé"]);
        assert_eq!(run("sh ${stdout}{stdout}").unwrap()[1], "${stdout}/f/o");
    }

    #[test]
    fn an_unknown_placeholder_is_named_with_the_known_ones() {
        let error = run("drv {stdou}").unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown placeholder `{stdou}`; known are {stderr} {stdout} {task}"
        );
    }

    #[test]
    fn an_open_quote_and_an_empty_template_are_refused() {
        assert!(matches!(
            split("sh -c 'x"),
            Err(TemplateError::Quote { .. })
        ));
        assert!(matches!(split("  "), Err(TemplateError::Empty)));
    }

    #[test]
    fn a_driver_without_a_task_is_refused() {
        let words = split("./drv {stdout}").unwrap();
        let error = require_one_of(&words, &["task", "script"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("`{task}` or `{script}`"), "{error}");
        assert!(require_one_of(&split("./drv x{script}").unwrap(), &["task", "script"]).is_ok());
    }

    #[test]
    fn without_a_task_the_placeholder_is_unknown() {
        let bare = Values {
            task: vec![],
            ..values()
        };
        assert!(matches!(
            expand(&["{task}".into()], &bare),
            Err(TemplateError::Unknown { .. })
        ));
    }
}
