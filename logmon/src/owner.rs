//! Core: whom a new FIFO is given to, as it is written on the command line.

use std::fmt;

use crate::error::Error;

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// By its number, which is asked of nobody.
    Number(u32),
    /// By its name, which is looked up at the start of the stream.
    Name(Box<str>),
}

impl Principal {
    /// All digits are a number. The highest one stands for "nobody named" in chown(2), so it is none.
    fn parse(text: &str) -> Option<Principal> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text.parse().ok().filter(|number| *number != u32::MAX);
            return number.map(Principal::Number);
        }
        let is_name = text
            .bytes()
            .all(|byte| !byte.is_ascii_control() && byte != b':' && byte != b'/');
        is_name.then(|| Principal::Name(text.into()))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Number(number) => write!(f, "{number}"),
            Principal::Name(name) => f.write_str(name),
        }
    }
}

/// Whom a new FIFO is given to; what is none stays as the system makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FifoOwner {
    /// Its user.
    pub user: Option<Principal>,
    /// Its group.
    pub group: Option<Principal>,
}

impl FifoOwner {
    /// Reads `USER`, `USER:GROUP` or `:GROUP`, each a name or a number, as chown(1) does.
    pub(crate) fn parse(text: &str) -> Result<FifoOwner, Error> {
        let refused = || Error::FifoOwner {
            text: text.to_owned(),
        };
        let principal = |text: &str| Principal::parse(text).ok_or_else(refused);
        let (user, group) = match text.split_once(':') {
            Some((_, "")) => return Err(refused()),
            Some((user, group)) => (user, Some(principal(group)?)),
            None => (text, None),
        };
        let user = match user {
            "" if group.is_none() => return Err(refused()),
            "" => None,
            user => Some(principal(user)?),
        };
        Ok(FifoOwner { user, group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<Principal> {
        Some(Principal::Name(text.into()))
    }

    #[test]
    fn user_and_group_are_names_or_numbers_and_one_may_be_left_out() {
        let number = |number| Some(Principal::Number(number));
        for (text, user, group) in [
            ("app", name("app"), None),
            ("app:log", name("app"), name("log")),
            (":log", None, name("log")),
            ("0", number(0), None),
            ("1000:007", number(1000), number(7)),
            (":4294967294", None, number(4_294_967_294)),
            ("8a", name("8a"), None),
        ] {
            let found = FifoOwner::parse(text).unwrap();
            assert_eq!(found, FifoOwner { user, group }, "{text}");
        }
    }

    #[test]
    fn what_names_nobody_is_refused_with_the_option() {
        for text in [
            "",
            ":",
            "app:",
            "app:a:b",
            "4294967295",
            "99999999999",
            ":4294967296",
            "a/b",
            "a\nb",
        ] {
            let told = FifoOwner::parse(text).unwrap_err().to_string();
            assert!(told.contains("--fifo-owner"), "{text:?}: {told}");
        }
    }
}
