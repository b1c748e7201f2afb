//! The faulty drivers that are bad guests: at their paths, with their descriptors, in others' folders. (core)

use super::dictionary::Entry;
use crate::diagnosis::Fact;
use crate::finding::Shape;

/// One entry for each kind of damage.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        subject: "trusts-the-path",
        shapes: &[Shape::Accepted],
        facts: &[],
        never: &[],
        along: &[Shape::ForeignTouched, Shape::Blocked, Shape::FifoReplaced],
        cause: "the driver opens whatever stands at the path, and takes it for a FIFO",
        ways_out: &[
            "open with O_NOFOLLOW and without O_CREAT, then check S_ISFIFO by fstat(2)",
            "refuse the start, with a message that names the path",
        ],
    },
    Entry {
        subject: "follows-the-link",
        shapes: &[Shape::Accepted],
        facts: &[Fact::LinkedFifo],
        never: &[],
        along: &[Shape::ForeignTouched],
        cause: "the driver follows a link at the FIFO's path to a FIFO elsewhere",
        ways_out: &[
            "open with O_NOFOLLOW, and refuse the start at ELOOP",
            "check with lstat(2) as well as on the handle, not on the handle alone",
        ],
    },
    Entry {
        subject: "opens-per-chunk",
        shapes: &[Shape::Reopened],
        facts: &[],
        never: &[],
        along: &[],
        cause: "the driver opens the FIFO for each write and closes it behind that",
        ways_out: &[
            "open each FIFO once when the task is started",
            "hold it until the last process of the task is gone",
        ],
    },
    Entry {
        subject: "sockets-for-streams",
        shapes: &[Shape::NotOpenable],
        facts: &[],
        never: &[],
        along: &[],
        cause: "the task's streams are sockets, which can't be opened by a path",
        ways_out: &[
            "give the task pipes, by pipe(2), or the FIFO itself",
            "give a pipe to the task's user, by fchown(2), if that is another one",
        ],
    },
    Entry {
        subject: "forgets-task-on-early-stop",
        shapes: &[Shape::LeftBehind],
        facts: &[Fact::TaskLeft],
        never: &[],
        along: &[
            Shape::LostTail,
            Shape::LostMiddle,
            Shape::LostHead,
            Shape::LostAll,
            Shape::NoEof,
            Shape::Late,
            Shape::StreamNotOpened,
            Shape::Torn,
            Shape::Reordered,
        ],
        cause: "a stop that comes while the start is under way ends the driver, and the task runs on",
        ways_out: &[
            "look at a stop only when the task is known, or remember it until then",
            "bind the task to the driver, by PR_SET_PDEATHSIG or a control group",
        ],
    },
    Entry {
        subject: "kills-only-the-leader",
        shapes: &[Shape::LeftBehind],
        facts: &[Fact::TaskLeft, Fact::ChildInside],
        never: &[],
        along: &[Shape::NoEof],
        cause: "a stop ends the task's main process, and what that has started runs on",
        ways_out: &[
            "give the task a process group of its own, and kill that by killpg(2) before the leader is reaped",
            "give it a control group, and write 1 to its cgroup.kill",
        ],
    },
    Entry {
        subject: "leaves-orphans",
        shapes: &[Shape::LeftBehind],
        facts: &[Fact::TaskLeft, Fact::ChildOutside],
        never: &[],
        along: &[Shape::NoEof],
        cause: "a stop kills the task's process group, and whoever has left that runs on",
        ways_out: &[
            "give the task a control group, and write 1 to its cgroup.kill",
            "become a child subreaper (PR_SET_CHILD_SUBREAPER), and kill what descends from the driver",
        ],
    },
    Entry {
        subject: "logs-into-log-folder",
        shapes: &[Shape::StrayFile],
        facts: &[],
        never: &[],
        along: &[],
        cause: "the driver writes a log of its own into the task's log folder",
        ways_out: &[
            "write to the driver's own stderr, or to a folder of its own",
            "leave the log folder to logmon",
        ],
    },
];
