//! What the next driver finds a task by (core).

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::warden::{Held, Inode, Named, Origin};

/// The version of what stands in a handle.
const FORMAT: u32 = 2;

/// What brings a task back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handle {
    format: u32,
    /// Which start of the machine its processes are of.
    boot: String,
    /// In which pid namespace they have their numbers, by its inode.
    pid_namespace: u64,
    /// The process that keeps the task.
    pub(crate) warden: Named,
    /// The folder of that process.
    pub(crate) folder: Inode,
    pub(crate) held: Held,
}

impl Handle {
    pub(crate) fn new(origin: &Origin, warden: Named, folder: Inode, held: Held) -> Handle {
        Handle {
            format: FORMAT,
            boot: origin.boot.clone(),
            pid_namespace: origin.pid_namespace,
            warden,
            folder,
            held,
        }
    }

    /// Reads one that was handed back.
    ///
    /// # Errors
    /// It is none of this driver's. What it names is killed if need be, so it must name a cgroup of the warden.
    pub(crate) fn parse(value: Value) -> Result<Handle, String> {
        let handle: Handle = serde_json::from_value(value)
            .map_err(|error| format!("the handle is none of this driver: {error}"))?;
        if handle.format != FORMAT {
            return Err(format!(
                "the handle has format {}, not {FORMAT}",
                handle.format
            ));
        }
        let own = format!("executor-{}-", handle.warden.pid);
        let held = &handle.held;
        for group in [&held.cgroup2, &held.freezer, &held.counter]
            .into_iter()
            .flatten()
        {
            let name = Path::new(&group.path).file_name();
            if !name.is_some_and(|name| name.to_string_lossy().starts_with(&own)) {
                return Err(format!(
                    "{} is no cgroup of process {}",
                    group.path, handle.warden.pid
                ));
            }
        }
        Ok(handle)
    }

    /// True if the machine was not started again since.
    pub(crate) fn is_of_boot(&self, here: &Origin) -> bool {
        self.boot == here.boot
    }

    /// True if its numbers mean here what they meant where it was made.
    pub(crate) fn is_of_namespace(&self, here: &Origin) -> bool {
        self.pid_namespace == here.pid_namespace
    }

    pub(crate) fn to_value(&self) -> Result<Value, String> {
        serde_json::to_value(self).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn handle(cgroup: &str) -> Handle {
        let named = |pid| Named { pid, birth: 9 };
        let inode = |path: &str| Inode {
            path: path.into(),
            inode: 3,
        };
        let held = Held {
            main: named(8),
            cgroup2: Some(inode(cgroup)),
            freezer: None,
            counter: None,
        };
        let origin = origin("boot", 5);
        Handle::new(&origin, named(7), inode("/t/.executor-1-1"), held)
    }

    fn origin(boot: &str, pid_namespace: u64) -> Origin {
        Origin {
            boot: boot.into(),
            pid_namespace,
        }
    }

    #[test]
    fn a_handle_comes_back_and_another_one_is_refused() {
        let own = handle("/sys/fs/cgroup/executor-7-1");
        let (here, other) = (origin("boot", 5), origin("another", 6));
        assert!(own.is_of_boot(&here) && !own.is_of_boot(&other));
        assert!(own.is_of_namespace(&here) && !own.is_of_namespace(&other));
        let value = own.to_value().unwrap();
        assert_eq!(Handle::parse(value.clone()), Ok(own));
        // Whoever kept it may have lost what is null.
        let mut shorter = value.clone();
        let held = shorter["held"].as_object_mut().unwrap();
        held.retain(|_, value| !value.is_null());
        assert_eq!(held.len(), 2);
        assert_eq!(Handle::parse(shorter), Handle::parse(value.clone()));
        let mut newer = value.clone();
        newer["format"] = json!(3);
        let mut longer = value;
        longer["more"] = json!(1);
        for other in [json!({}), json!("x"), newer, longer] {
            assert!(Handle::parse(other.clone()).is_err(), "{other}");
        }
    }

    #[test]
    fn a_cgroup_that_is_not_the_warden_s_is_refused() {
        for path in [
            "/sys/fs/cgroup",
            "/",
            "/sys/fs/cgroup/executor-71-1",
            "/a/executor-7-1/..",
        ] {
            assert!(
                Handle::parse(handle(path).to_value().unwrap()).is_err(),
                "{path}"
            );
        }
    }
}
