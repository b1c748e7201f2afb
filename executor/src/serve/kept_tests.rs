//! Tests of a task that outlives whoever started it (edge).

use std::process::{Child, Command};
use std::time::{Instant, SystemTime};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::*;
use crate::status::End;
use crate::warden::{Held, Inode, Named};

/// Is killed when a test is surprised.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn an_end_is_told_although_something_of_the_task_can_t_be_ended() {
    // In the place of a warden that waits for whatever does not die.
    let warden = Killed(Command::new("sleep").arg("1000").spawn().unwrap());
    let pid = i32::try_from(warden.0.id()).unwrap();
    let named = Named {
        pid,
        birth: processes::stat(pid).unwrap().birth,
    };
    let folder = Inode {
        path: "/no/such/folder".into(),
        inode: 1,
    };
    let held = Held {
        main: named,
        cgroup2: None,
        freezer: None,
        counter: None,
    };
    let handle = Handle::new(&Origin::own().unwrap(), named, folder, held);
    let pidfd = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let kept = Kept::new(handle, pidfd, Arc::new(near));
    let status = ExitStatus {
        end: End::Code(3),
        oom_killed: None,
        seen_at: SystemTime::now(),
    };
    write_line(&far, &EndNote::of(&status)).unwrap();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let waits: Vec<_> = (0..3).map(|_| scope.spawn(|| kept.wait())).collect();
        for wait in waits {
            let ended = wait.join().unwrap().unwrap();
            assert!(
                matches!(&ended, Ended::Known(status) if status.end == End::Code(3)),
                "{ended:?}"
            );
        }
    });
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!kept.has_ended(), "it is not killed for that");
}
