//! What a check says: a line for each answer, and everything about a wrong one. (core)

use super::client::Trouble;
use super::wire::Reply;

/// Columns of what was asked.
const WHAT: usize = 42;

/// Tells of one answer after the other, and counts.
pub(super) struct Told<'a> {
    tell: &'a mut dyn FnMut(&str),
    pub(super) looked_at: usize,
    pub(super) wrong: usize,
}

impl<'a> Told<'a> {
    pub(super) fn new(tell: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            tell,
            looked_at: 0,
            wrong: 0,
        }
    }

    /// An answer that is right, and what it said.
    pub(super) fn right(&mut self, what: &str, said: &str) {
        self.looked_at += 1;
        (self.tell)(&format!("ok     {what:<WHAT$}  {said}\n"));
    }

    /// An answer that is wrong: the lines, and each thing that is wrong about it.
    pub(super) fn wrong(&mut self, what: &str, trouble: &Trouble, problems: &[String]) {
        self.looked_at += 1;
        self.wrong += 1;
        let mut text = format!("WRONG  {what}\n");
        for line in trouble.lines() {
            text.push_str(&format!("         {line}\n"));
        }
        for problem in problems {
            text.push_str(&format!("         wrong:   {problem}\n"));
        }
        (self.tell)(&text);
    }

    /// Something that no answer says: what was seen, or what is wanted instead.
    pub(super) fn fact(&mut self, what: &str, seen: Result<&str, &str>) {
        match seen {
            Ok(seen) => self.right(what, seen),
            Err(wants) => {
                self.looked_at += 1;
                self.wrong += 1;
                (self.tell)(&format!(
                    "WRONG  {what}\n         wrong:   wanted is {wants}\n"
                ));
            }
        }
    }

    /// A line that judges nothing.
    pub(super) fn note(&mut self, text: &str) {
        (self.tell)(&format!("       {text}\n"));
    }
}

/// Judges an operation that must be supported and must not fail here.
pub(super) fn wanted<T>(
    reply: &Reply<T>,
    judge: impl FnOnce(&T) -> Result<String, String>,
) -> Result<String, String> {
    match reply {
        Reply::Done(value) => judge(value),
        Reply::Unsupported => Err("an answer: this operation must be supported here".into()),
        Reply::Failed(_) => Err("no `error` here".into()),
    }
}
