//! Who a task runs as (edge): asks the database of users.

use std::ffi::{CString, OsString};

use nix::errno::Errno;
use nix::unistd::{Uid, User, geteuid, getgrouplist};
use rustix::process as ids;

/// A user, with exactly the groups that it is in.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) name: String,
    pub(crate) home: OsString,
    pub(crate) uid: ids::Uid,
    pub(crate) gid: ids::Gid,
    pub(crate) groups: Vec<ids::Gid>,
    /// True if this process is that user and can't change what it is.
    pub(crate) is_own: bool,
}

impl Credentials {
    /// True if this user may write to a file of this mode and owner, path_resolution(7).
    pub(crate) fn may_write(&self, mode: u32, owner: (u32, u32)) -> bool {
        self.uid == ids::Uid::ROOT || mode & 0o222 & self.class(owner) != 0
    }

    /// True if this user may execute a file of this mode and owner, path_resolution(7).
    pub(crate) fn may_execute(&self, mode: u32, owner: (u32, u32)) -> bool {
        let allowed = if self.uid == ids::Uid::ROOT {
            mode
        } else {
            mode & self.class(owner)
        };
        allowed & 0o111 != 0
    }

    /// The bits of a mode that are about this user, where the file has this owner.
    fn class(&self, (uid, gid): (u32, u32)) -> u32 {
        let is_in = |group: &ids::Gid| group.as_raw() == gid;
        if self.uid.as_raw() == uid {
            0o700
        } else if is_in(&self.gid) || self.groups.iter().any(is_in) {
            0o070
        } else {
            0o007
        }
    }
}

/// Why a task can't run as a user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Nobody has this name or number.
    #[error("there is no user {user:?}; `getent passwd` lists those that there are")]
    Unknown {
        /// The user, as it was given.
        user: String,
    },
    /// The database can't be asked.
    #[error("can't look up user {user:?}")]
    LookUp {
        /// The user, as it was given.
        user: String,
        /// The error of `getpwnam_r(3)`, `getpwuid_r(3)` or `getgrouplist(3)`.
        source: std::io::Error,
    },
    /// Only root can run a task as another user.
    #[error(
        "can't run a task as {user:?}: only root can; start the executor as root, or name no user"
    )]
    NotRoot {
        /// The user, as it was given.
        user: String,
    },
}

/// Finds a user by name or by number.
pub(crate) fn resolve(user: &str) -> Result<Credentials, UserError> {
    let failed = |errno: Errno| UserError::LookUp {
        user: user.to_owned(),
        source: errno.into(),
    };
    let mut found = User::from_name(user).map_err(failed)?;
    if let (None, Ok(number)) = (&found, user.parse()) {
        found = User::from_uid(Uid::from_raw(number)).map_err(failed)?;
    }
    let found = found.ok_or_else(|| UserError::Unknown {
        user: user.to_owned(),
    })?;
    let is_root = geteuid().is_root();
    if !is_root && found.uid != geteuid() {
        return Err(UserError::NotRoot {
            user: user.to_owned(),
        });
    }
    let name = CString::new(found.name.as_str()).map_err(|_| failed(Errno::EINVAL))?;
    let groups = getgrouplist(&name, found.gid).map_err(failed)?;
    Ok(Credentials {
        name: found.name,
        home: found.dir.into_os_string(),
        uid: ids::Uid::from_raw(found.uid.as_raw()),
        gid: ids::Gid::from_raw(found.gid.as_raw()),
        groups: groups
            .into_iter()
            .map(|group| ids::Gid::from_raw(group.as_raw()))
            .collect(),
        is_own: !is_root,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32, groups: &[u32]) -> Credentials {
        Credentials {
            name: "one".into(),
            home: "/".into(),
            uid: ids::Uid::from_raw(uid),
            gid: ids::Gid::from_raw(groups[0]),
            groups: groups
                .iter()
                .map(|group| ids::Gid::from_raw(*group))
                .collect(),
            is_own: false,
        }
    }

    #[test]
    fn the_first_class_that_fits_decides_who_may_write() {
        let one = user(7, &[8, 9]);
        assert!(one.may_write(0o600, (7, 0)) && one.may_write(0o620, (0, 9)));
        assert!(one.may_write(0o602, (0, 0)) && !one.may_write(0o600, (0, 0)));
        assert!(!one.may_write(0o062, (7, 8)), "its owner has no right");
        assert!(!one.may_write(0o602, (0, 8)), "its group has no right");
        assert!(user(0, &[0]).may_write(0o000, (7, 8)), "root may");
        assert!(one.may_execute(0o100, (7, 0)) && !one.may_execute(0o677, (7, 0)));
        assert!(
            user(0, &[0]).may_execute(0o001, (7, 8)),
            "root may if anybody may"
        );
        assert!(!user(0, &[0]).may_execute(0o666, (7, 8)));
    }
}
