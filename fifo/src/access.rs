//! Whose a FIFO is, who may use it, and which existing one may be adopted. This module is a core: it
//! compares numbers that were read on a handle.

use std::fmt;
use std::path::Path;

use crate::Error;

/// The bit that lets everybody read.
const OTHERS_READ: u32 = 0o004;

/// The mode and the owner that a new FIFO gets. An existing one may have this owner, too, and no bit that
/// lets everybody read unless this mode has it (contract SEC-1, SEC-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// Permission bits, `0..=0o777`.
    pub mode: u32,
    /// Who a new FIFO is given to.
    pub owner: Owner,
}

impl Access {
    /// This mode, and the owner that the system gives to a new file.
    #[must_use]
    pub fn of_mode(mode: u32) -> Access {
        Access {
            mode,
            owner: Owner::default(),
        }
    }

    /// Finds out whether a FIFO of this user and with these permission bits may be used by a process with
    /// this effective user id.
    pub(crate) fn admit(
        &self,
        path: &Path,
        (uid, mode): (u32, u32),
        process_uid: u32,
    ) -> Result<(), Error> {
        if ![Some(0), Some(process_uid), self.owner.user].contains(&Some(uid)) {
            return Err(Error::ForeignOwner {
                path: path.to_owned(),
                uid,
                process_uid,
            });
        }
        if mode & OTHERS_READ & !self.mode != 0 {
            return Err(Error::WorldReadable {
                path: path.to_owned(),
                mode,
            });
        }
        Ok(())
    }
}

/// A user and a group by their numbers; what is none stays as the system makes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The user id.
    pub user: Option<u32>,
    /// The group id.
    pub group: Option<u32>,
}

impl Owner {
    /// True when nothing is to be changed.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        *self == Owner::default()
    }
}

/// As chown(1) takes it: `USER`, `USER:GROUP` or `:GROUP`.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = self.user {
            write!(f, "{user}")?;
        }
        if let Some(group) = self.group {
            write!(f, ":{group}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(access: Access, found: (u32, u32)) -> Result<(), Error> {
        access.admit(Path::new("/run/a"), found, 1000)
    }

    #[test]
    fn a_fifo_of_this_user_of_root_or_of_the_named_owner_is_admitted() {
        let mut access = Access::of_mode(0o600);
        assert!(admit(access, (1000, 0o600)).is_ok());
        assert!(admit(access, (0, 0o600)).is_ok());
        let error = admit(access, (2000, 0o600)).unwrap_err();
        assert!(
            matches!(
                error,
                Error::ForeignOwner {
                    uid: 2000,
                    process_uid: 1000,
                    ..
                }
            ),
            "got {error:?}"
        );
        access.owner.user = Some(2000);
        assert!(admit(access, (2000, 0o600)).is_ok());
        assert!(admit(access, (1000, 0o600)).is_ok());
        access.owner.user = None;
        access.owner.group = Some(2000);
        assert!(admit(access, (2000, 0o600)).is_err(), "a group is no user");
    }

    #[test]
    fn a_fifo_that_everybody_can_read_is_admitted_only_where_that_is_the_mode() {
        for mode in [0o604, 0o644, 0o666, 0o777] {
            let error = admit(Access::of_mode(0o660), (1000, mode)).unwrap_err();
            assert!(
                matches!(error, Error::WorldReadable { mode: got, .. } if got == mode),
                "{mode:o} gave {error:?}"
            );
            assert!(admit(Access::of_mode(0o644), (1000, mode)).is_ok());
        }
        for mode in [0o000, 0o622, 0o660, 0o773] {
            assert!(admit(Access::of_mode(0o600), (1000, mode)).is_ok());
        }
    }

    #[test]
    fn an_owner_is_written_as_chown_takes_it() {
        let owner = |user, group| Owner { user, group }.to_string();
        assert_eq!(owner(Some(7), None), "7");
        assert_eq!(owner(Some(7), Some(8)), "7:8");
        assert_eq!(owner(None, Some(8)), ":8");
    }
}
