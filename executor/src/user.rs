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
