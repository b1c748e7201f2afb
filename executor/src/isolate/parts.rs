//! What a container is made of: what was asked for, with what of the host it means (edge).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{major, minor};
use rustix::process::{getgid, getuid};

use super::capabilities::sets;
use super::config::{Bind, Ids, Node, Parts, Process};
use super::container::{ContainerSpec, Device, Mount, NamespaceMode};
use super::error::IsolateError;
use super::limits::CpuShares;
use crate::containment::Containment;
use crate::environment;
use crate::spec::LaunchSpec;
use crate::user::Credentials;

/// Gives the main process of a task, as it was asked for. `own` are the capabilities of this process.
pub(super) fn main_process(
    spec: &LaunchSpec,
    around: &ContainerSpec,
    user: Option<&Credentials>,
    own: u64,
) -> Result<Process, IsolateError> {
    let identity = user.map(|user| (user.name.as_str(), user.home.as_os_str()));
    let env: Result<Vec<String>, IsolateError> = environment::of_task(&spec.env, identity)
        .iter()
        .map(|(name, value)| {
            let name = text("the variable", name)?;
            let value = text("the variable", value)?;
            Ok(format!("{name}={value}"))
        })
        .collect();
    let cwd = spec.cwd.as_deref().unwrap_or(Path::new("/"));
    if !cwd.is_absolute() {
        return Err(IsolateError::Refused {
            why: format!(
                "the folder {} that it starts in is not absolute",
                cwd.display()
            ),
        });
    }
    let ids = user.map_or_else(
        || Ids {
            uid: getuid().as_raw(),
            gid: getgid().as_raw(),
            groups: Vec::new(),
        },
        |user| Ids {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: user.groups.iter().map(|group| group.as_raw()).collect(),
        },
    );
    Ok(Process {
        args: words(&spec.program, &spec.args)?,
        env: env?,
        cwd: text("the folder", cwd.as_os_str())?,
        capabilities: sets(ids.uid == 0, &around.add, &around.drop, own)?,
        ids,
        // That of the executor is its own.
        oom_score_adj: spec.oom_score_adj.unwrap_or(0),
    })
}

/// Looks at what of the host the task is to have.
pub(super) fn parts(
    around: &ContainerSpec,
    main: Process,
    (pid, ipc): (NamespaceMode, NamespaceMode),
    containment: &Containment,
) -> Result<Parts, IsolateError> {
    let path = text("the path", containment.library_path().as_os_str())?;
    Ok(Parts {
        root: root(&around.root)?,
        process: main,
        pid,
        ipc,
        binds: around.mounts.iter().map(bind).collect::<Result<_, _>>()?,
        nodes: around.devices.iter().map(node).collect::<Result<_, _>>()?,
        cgroups_path: path,
        memory_bytes: around.memory_bytes,
        memory_reserve_bytes: around.memory_reserve_bytes,
        cpu_shares: around.cpu_shares.map(CpuShares::of_kernel),
    })
}

fn root(path: &Path) -> Result<String, IsolateError> {
    let unusable = |source| IsolateError::Use {
        what: "the root",
        path: path.to_owned(),
        source,
    };
    let real = fs::canonicalize(path).map_err(unusable)?;
    if !real.is_dir() {
        return Err(unusable(io::ErrorKind::NotADirectory.into()));
    }
    if real == Path::new("/") {
        return Err(unusable(io::Error::other("it is the root of the host")));
    }
    text("the path", real.as_os_str())
}

fn bind(mount: &Mount) -> Result<Bind, IsolateError> {
    let unusable = |source| IsolateError::Use {
        what: "a mount",
        path: mount.host.clone(),
        source,
    };
    fs::metadata(&mount.host).map_err(unusable)?;
    Ok(Bind {
        host: text("the path", mount.host.as_os_str())?,
        task: text("the path", mount.task.as_os_str())?,
        is_read_only: mount.is_read_only,
    })
}

fn node(device: &Device) -> Result<Node, IsolateError> {
    let unusable = |source| IsolateError::Use {
        what: "a device",
        path: device.path.clone(),
        source,
    };
    let found = fs::metadata(&device.path).map_err(unusable)?;
    let kind = found.file_type();
    if !kind.is_char_device() && !kind.is_block_device() {
        return Err(unusable(io::Error::other("it is no device")));
    }
    Ok(Node {
        path: text("the path", device.path.as_os_str())?,
        is_block: kind.is_block_device(),
        major: major(found.rdev()),
        minor: minor(found.rdev()),
        mode: found.permissions().mode() & 0o777,
        uid: found.uid(),
        gid: found.gid(),
        access: device.access.clone(),
    })
}

/// Gives a program and its arguments as text.
pub(super) fn words(program: &Path, args: &[OsString]) -> Result<Vec<String>, IsolateError> {
    let program = std::iter::once(program.as_os_str());
    let words = program.chain(args.iter().map(OsString::as_os_str));
    words.map(|word| text("the word", word)).collect()
}

/// Gives a word as text.
pub(super) fn text(what: &'static str, word: &OsStr) -> Result<String, IsolateError> {
    let text = word.to_str().map(str::to_owned);
    text.ok_or_else(|| IsolateError::NoText {
        what,
        text: word.to_string_lossy().into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::log_paths::LogPaths;

    fn spec() -> LaunchSpec {
        LaunchSpec::new("sh", LogPaths::disabled("/"))
    }

    #[test]
    fn a_main_process_is_who_it_was_asked_to_be() {
        let user = Credentials {
            name: "web".into(),
            home: "/srv/web".into(),
            uid: rustix::process::Uid::from_raw(7),
            gid: rustix::process::Gid::from_raw(8),
            groups: vec![rustix::process::Gid::from_raw(8)],
            is_own: false,
        };
        let around = ContainerSpec::new("/srv");
        let mut spec = spec().args(["-c", "true"]).env("A", "1");
        spec.cwd = Some("/data".into());
        let main = main_process(&spec, &around, Some(&user), u64::MAX).unwrap();
        assert_eq!(main.args, ["sh", "-c", "true"]);
        assert_eq!(
            main.env,
            ["USER=web", "LOGNAME=web", "HOME=/srv/web", "A=1"]
        );
        assert_eq!((main.cwd.as_str(), main.oom_score_adj), ("/data", 0));
        assert_eq!((main.ids.uid, main.ids.groups), (7, vec![8]));
        assert_eq!(main.capabilities.effective, 0);
        spec.oom_score_adj = Some(300);
        spec.cwd = None;
        let main = main_process(&spec, &around, None, u64::MAX).unwrap();
        assert_eq!((main.cwd.as_str(), main.oom_score_adj), ("/", 300));
    }

    #[test]
    fn what_is_no_text_is_named() {
        let word = OsStr::from_bytes(b"a\xff").to_owned();
        let spec = spec().args([word]);
        let why = main_process(&spec, &ContainerSpec::new("/srv"), None, 0).unwrap_err();
        let expected = "can't isolate a task: the word \"a\u{fffd}\" is not UTF-8";
        assert_eq!(why.to_string(), expected);
        let mut relative = self::spec();
        relative.cwd = Some("data".into());
        let why = main_process(&relative, &ContainerSpec::new("/srv"), None, 0).unwrap_err();
        assert!(
            why.to_string()
                .contains("data that it starts in is not absolute")
        );
    }

    #[test]
    fn what_of_the_host_can_t_be_used_is_named() {
        let device = |path: &str| Device {
            path: path.into(),
            access: "r".into(),
        };
        let null = node(&device("/dev/null")).unwrap();
        assert_eq!((null.major, null.minor, null.is_block), (1, 3, false));
        for (why, expected) in [
            (
                node(&device("/etc")).err(),
                "can't use /etc as a device of the task",
            ),
            (
                root(Path::new("/no/such")).err(),
                "can't use /no/such as the root of the task",
            ),
            (
                root(Path::new("/")).err(),
                "can't use / as the root of the task",
            ),
            (
                root(Path::new("/dev/null")).err(),
                "can't use /dev/null as the root of the task",
            ),
        ] {
            assert_eq!(why.unwrap().to_string(), expected);
        }
    }
}
