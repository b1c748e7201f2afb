//! Whose a file may be that a task gets (core): numbers that were read on an opened handle.
//!
//! A file in a folder that a task may change can be one that it has put there: another task's, or another name of
//! it. Only what is certain to be meant for the task is used as its output, or gets another owner or mode.

/// What the kernel says of an opened file, fstat(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The user id of its owner.
    pub(crate) uid: u32,
    /// True if it has a second name. One that was removed meanwhile has none at all.
    pub(crate) has_other_name: bool,
}

/// Why a file is not used, or not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Its owner is neither root, nor the user of this process, nor that of the task.
    Owner,
    /// Whoever knows it by its other name may mean it for somebody else.
    OtherName,
}

/// Finds out whether a file may be used by a process of this user for a task of that one; none: it is the same.
pub(crate) fn admit(found: Found, own: u32, task: Option<u32>) -> Result<(), Doubt> {
    if ![Some(0), Some(own), task].contains(&Some(found.uid)) {
        return Err(Doubt::Owner);
    }
    if found.has_other_name {
        return Err(Doubt::OtherName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_root_of_this_user_or_of_the_task_and_with_one_name_is_admitted() {
        let file = |uid, has_other_name| Found {
            uid,
            has_other_name,
        };
        for (found, task, outcome) in [
            (file(0, false), None, Ok(())),
            (file(7, false), None, Ok(())),
            (file(8, false), Some(8), Ok(())),
            (file(8, false), None, Err(Doubt::Owner)),
            (file(9, false), Some(8), Err(Doubt::Owner)),
            (file(0, true), None, Err(Doubt::OtherName)),
            (file(9, true), Some(8), Err(Doubt::Owner)),
        ] {
            assert_eq!(admit(found, 7, task), outcome, "{found:?} {task:?}");
        }
    }
}
