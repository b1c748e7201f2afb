//! What a task finds in its environment (core).

use std::ffi::{OsStr, OsString};

/// The variables that tell a process who it is.
const IDENTITY: [&str; 3] = ["USER", "LOGNAME", "HOME"];

/// Gives the whole environment of a task: its own variables, and of the user that it runs as what it does not
/// say itself. Of a variable that stands twice the last one counts.
pub(crate) fn of_task(
    own: &[(OsString, OsString)],
    identity: Option<(&str, &OsStr)>,
) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> = Vec::new();
    if let Some((user, home)) = identity {
        let values = [OsStr::new(user), OsStr::new(user), home];
        all.extend(
            IDENTITY
                .iter()
                .zip(values)
                .map(|(name, value)| (name.into(), value.into())),
        );
    }
    for (name, value) in own {
        all.retain(|(other, _)| other != name);
        all.push((name.clone(), value.clone()));
    }
    all
}

/// Gives the variables of somebody else without those that tell who that is.
pub(crate) fn without_identity(
    inherited: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    inherited
        .filter(|(name, _)| !IDENTITY.iter().any(|own| OsStr::new(own) == name))
        .collect()
}

/// Gives the value of a variable.
pub(crate) fn value<'a>(all: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    let found = all
        .iter()
        .rev()
        .find(|(other, _)| other == OsStr::new(name));
    found.map(|(_, value)| value.as_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(all: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        all.iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn of_web(own: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        of_task(&pairs(own), Some(("web", OsStr::new("/srv/web"))))
    }

    #[test]
    fn the_user_is_told_and_the_own_variables_are_kept() {
        assert_eq!(
            of_web(&[("A", "1")]),
            pairs(&[
                ("USER", "web"),
                ("LOGNAME", "web"),
                ("HOME", "/srv/web"),
                ("A", "1")
            ])
        );
        assert_eq!(of_task(&pairs(&[("A", "1")]), None), pairs(&[("A", "1")]));
    }

    #[test]
    fn what_the_task_says_itself_counts_more_than_the_user() {
        let all = of_web(&[("HOME", "/task"), ("A", "1"), ("A", "2")]);
        assert_eq!(value(&all, "HOME"), Some(OsStr::new("/task")));
        assert_eq!(value(&all, "USER"), Some(OsStr::new("web")));
        assert_eq!(value(&all, "A"), Some(OsStr::new("2")));
        assert_eq!((all.len(), value(&all, "B")), (4, None));
    }

    #[test]
    fn who_somebody_else_is_is_not_handed_on() {
        let inherited = pairs(&[
            ("USER", "root"),
            ("PATH", "/bin"),
            ("LOGNAME", "root"),
            ("HOME", "/root"),
        ]);
        assert_eq!(
            without_identity(inherited.into_iter()),
            pairs(&[("PATH", "/bin")])
        );
    }
}
