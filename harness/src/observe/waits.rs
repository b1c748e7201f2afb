//! Who waits for whom: the lines that explain a hang. (core)

use std::collections::BTreeMap;

use super::descriptor::Descriptor;
use super::pipe::Fill;
use super::process::{ProcessFacts, ThreadFacts};

/// A FIFO with everything that is known of it at one moment.
#[derive(Clone, Debug)]
pub struct NamedPipe {
    /// The name used in the lines, such as `stdout.fifo`.
    pub name: String,
    /// How full it is, if that can be seen.
    pub fill: Option<Fill>,
    /// Everybody's descriptors of it.
    pub held: Vec<Descriptor>,
}

/// One line for each process that waits, and one for each pipe.
///
/// `titles` names the processes by their part: `task`, `driver`, `logmon`, `host`.
#[must_use]
pub fn who_waits(
    processes: &[ProcessFacts],
    titles: &BTreeMap<i32, String>,
    pipes: &[NamedPipe],
) -> Vec<String> {
    let title = |pid: i32| titles.get(&pid).map_or("process", String::as_str);
    let mut lines = Vec::new();
    for process in processes {
        let pid = process.stat.pid;
        let mut does: Vec<String> = Vec::new();
        for thread in &process.threads {
            let text = thread_text(thread, pid, pipes, &title);
            if !does.contains(&text) {
                does.push(text);
            }
        }
        if !does.is_empty() {
            lines.push(format!(
                "{} {pid} ({}): {}",
                title(pid),
                process.stat.comm,
                does.join(" | ")
            ));
        }
    }
    lines.extend(pipes.iter().map(|pipe| pipe_text(pipe, &title)));
    lines
}

fn thread_text<'a>(
    thread: &ThreadFacts,
    pid: i32,
    pipes: &[NamedPipe],
    title: &impl Fn(i32) -> &'a str,
) -> String {
    match thread.state {
        'R' => return "runs".into(),
        'T' => return "is stopped".into(),
        'Z' | 'X' => return "has ended".into(),
        _ => {}
    }
    let Some(call) = &thread.call else {
        return if thread.sleeps_in.is_empty() {
            "sleeps".into()
        } else {
            format!("sleeps in {}", thread.sleeps_in)
        };
    };
    let Some(fd) = call.writes_to() else {
        return call.text();
    };
    let of_pipe = |pipe: &&NamedPipe| {
        pipe.held
            .iter()
            .any(|held| held.pid == pid && held.fd == fd)
    };
    let Some(pipe) = pipes.iter().find(of_pipe) else {
        return call.text();
    };
    let level = pipe.fill.map_or_else(String::new, |fill| {
        format!(", {} of {} B", grouped(fill.bytes), grouped(fill.capacity))
    });
    format!(
        "{} on {}{level}; readers of that pipe: {}",
        call.text(),
        pipe.name,
        holders(pipe, title, |held| held.reads)
    )
}

fn pipe_text<'a>(pipe: &NamedPipe, title: &impl Fn(i32) -> &'a str) -> String {
    let level = pipe.fill.map_or_else(
        || "level unknown".to_owned(),
        |fill| format!("{} of {} B", grouped(fill.bytes), grouped(fill.capacity)),
    );
    let writers = holders(pipe, title, |held| held.writes);
    let readers = holders(pipe, title, |held| held.reads);
    format!(
        "{}: {level}; writers: {writers}; readers: {readers}",
        pipe.name
    )
}

fn holders<'a>(
    pipe: &NamedPipe,
    title: &impl Fn(i32) -> &'a str,
    which: impl Fn(&Descriptor) -> bool,
) -> String {
    let mut names: Vec<String> = Vec::new();
    for held in pipe.held.iter().filter(|held| which(held)) {
        let name = format!("{} {}", title(held.pid), held.pid);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::process::{Stat, SystemCall};
    use super::*;
    use nix::libc;

    fn process(pid: i32, comm: &str, state: char, call: Option<SystemCall>) -> ProcessFacts {
        let stat = Stat {
            pid,
            comm: comm.into(),
            state,
            ppid: 1,
            group: pid,
            session: 1,
            began: 1,
        };
        let thread = ThreadFacts {
            thread: pid,
            state,
            call,
            sleeps_in: String::new(),
        };
        ProcessFacts {
            stat,
            threads: vec![thread],
        }
    }

    #[test]
    fn a_blocked_writer_is_told_with_its_pipe_and_the_lack_of_readers() {
        let write = SystemCall {
            number: libc::SYS_write,
            first: 1,
        };
        let processes = [
            process(4711, "sh", 'S', Some(write)),
            process(
                4702,
                "logmon",
                'S',
                Some(SystemCall {
                    number: libc::SYS_epoll_pwait,
                    first: 3,
                }),
            ),
            process(4703, "x", 'T', None),
        ];
        let titles = BTreeMap::from([(4711, "task".to_owned()), (4702, "logmon".to_owned())]);
        let held = Descriptor {
            pid: 4711,
            fd: 1,
            reads: false,
            writes: true,
        };
        let pipe = NamedPipe {
            name: "stdout.fifo".into(),
            fill: Some(Fill {
                bytes: 65_536,
                capacity: 65_536,
            }),
            held: vec![held],
        };
        assert_eq!(
            who_waits(&processes, &titles, &[pipe]),
            [
                "task 4711 (sh): write(1) on stdout.fifo, 65,536 of 65,536 B; readers of that pipe: none",
                "logmon 4702 (logmon): epoll_pwait(3)",
                "process 4703 (x): is stopped",
                "stdout.fifo: 65,536 of 65,536 B; writers: task 4711; readers: none",
            ]
        );
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
