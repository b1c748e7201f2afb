//! The faulty logmons that only many tasks bring to light. (core)

use super::dictionary::Entry;
use crate::diagnosis::Fact;
use crate::finding::Shape;

/// One entry for each kind of damage.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        subject: "memory-per-task",
        shapes: &[Shape::GrowthMemory],
        facts: &[Fact::ManyTasks],
        never: &[],
        along: &[],
        cause: "logmon has buffers of its own for every task, also for those that wait",
        ways_out: &[
            "share buffers between tasks",
            "move bytes with splice(2), without buffers",
        ],
    },
    Entry {
        subject: "serves-a-hundred",
        shapes: &[Shape::Died],
        facts: &[Fact::ManyTasks],
        never: &[Fact::FewDescriptors],
        along: &[],
        cause: "logmon takes only so many tasks, though there are descriptors for more",
        ways_out: &[
            "let the table of tasks grow",
            "raise RLIMIT_NOFILE at the start",
        ],
    },
    Entry {
        subject: "process-per-task",
        shapes: &[Shape::GrowthProcess],
        facts: &[Fact::ManyTasks],
        never: &[],
        along: &[Shape::GrowthMemory, Shape::GrowthFd],
        cause: "logmon starts a process for every task",
        ways_out: &[
            "let one process read the FIFOs of all tasks",
            "wait for all of them with one epoll",
        ],
    },
    Entry {
        subject: "mixes-tasks",
        shapes: &[Shape::StreamsMixed],
        facts: &[Fact::ManyTasks],
        never: &[],
        along: &[
            Shape::Blocked,
            Shape::LostAll,
            Shape::LostHead,
            Shape::LostMiddle,
            Shape::LostTail,
        ],
        cause: "logmon writes one task's bytes into another task's log",
        ways_out: &[
            "keep FIFO and files of a stream in one value",
            "let no index stand for a task that may have gone",
        ],
    },
    Entry {
        subject: "keeps-stopped-tasks",
        shapes: &[Shape::GrowthFd],
        facts: &[Fact::ManyTasks],
        never: &[],
        along: &[Shape::GrowthMemory],
        cause: "logmon keeps FIFOs or files of tasks open that were taken away",
        ways_out: &[
            "close everything of a task when it is drained",
            "let descriptors be owned by what stands for the task",
        ],
    },
    Entry {
        subject: "writes-at-stop",
        shapes: &[Shape::Late],
        facts: &[Fact::ManyTasks, Fact::NotLogged],
        never: &[],
        along: &[],
        cause: "logmon keeps what it reads in memory, and writes it when a task is taken away",
        ways_out: &[
            "write a whole line within 200 ms",
            "let buffers be written by time, not only by size",
        ],
    },
    Entry {
        subject: "answers-before-drained",
        shapes: &[Shape::Late],
        facts: &[Fact::ManyTasks],
        never: &[Fact::NotLogged],
        // What is not drained yet is still open.
        along: &[Shape::LostTail, Shape::Torn, Shape::GrowthFd],
        cause: "the command that takes a task away ends before its FIFOs are empty",
        ways_out: &[
            "answer when everything is written",
            "read until the FIFO is empty, then close it",
        ],
    },
    Entry {
        subject: "starts-without-descriptors",
        shapes: &[Shape::LostAll],
        facts: &[Fact::ManyTasks, Fact::FewDescriptors],
        never: &[],
        along: &[Shape::Died, Shape::Blocked],
        cause: "logmon says that a task is started though it could not open its FIFOs or files",
        ways_out: &[
            "answer a start when everything is open",
            "refuse a start for which there are no descriptors",
        ],
    },
    Entry {
        subject: "gives-up-on-emfile",
        shapes: &[Shape::LostTail],
        facts: &[Fact::ManyTasks, Fact::FewDescriptors],
        never: &[],
        along: &[
            Shape::LostMiddle,
            Shape::Torn,
            Shape::LineSplit,
            Shape::OversizeFile,
        ],
        cause: "starts take the descriptors that a task that runs needs for its next file",
        ways_out: &[
            "keep some descriptors that no start may take",
            "try a rotation again that found none, and read nothing meanwhile",
        ],
    },
    Entry {
        subject: "refuses-silently",
        shapes: &[Shape::Died],
        facts: &[Fact::ManyTasks, Fact::FewDescriptors],
        never: &[],
        along: &[],
        cause: "the command that could not give a task to logmon does not say why",
        ways_out: &[
            "print the reason to standard error",
            "name the limit and what is needed",
        ],
    },
    Entry {
        subject: "takes-what-it-refuses",
        shapes: &[Shape::LostHead],
        facts: &[Fact::ManyTasks, Fact::FewDescriptors],
        never: &[],
        along: &[],
        cause: "logmon reads from the FIFOs of a task that it then does not start",
        ways_out: &[
            "count the free descriptors before anything is opened",
            "read nothing before everything is open",
        ],
    },
];
