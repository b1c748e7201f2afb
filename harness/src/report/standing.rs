//! A plan that stands still, for the person who looks. (core)

use std::path::Path;

use mock_driver::stream::Stream;

use super::{cut, hanging, wrapped};
use crate::case::CaseDir;
use crate::printable::printable;
use crate::scenario::{FolderKind, Scenario};
use crate::standing::Standing;

/// Columns of the text, but for paths and commands, which are to be copied.
const WIDTH: usize = 80;

/// What is running, where everything is, and how to look at it.
#[must_use]
pub fn standing(standing: &Standing, scenario: &Scenario, dir: &CaseDir) -> String {
    let title = format!("stopped {}", standing.at);
    let mut out = format!("{}\n{}\n", scenario.id, wrapped(&title, "  ", WIDTH));
    let mut names = Column::default();
    names.line(&mut out, "Case process", &standing.case.to_string());
    for process in &standing.processes {
        let line = format!(
            "  {:<15}{}  {}",
            name_of(&process.part),
            process.pid,
            // One line, whatever the program calls itself.
            printable(&process.command).replace(['\n', '\t'], " ")
        );
        out.push_str(&cut(&line, WIDTH));
        out.push('\n');
    }
    for line in &standing.waits {
        out.push_str(&hanging(&names.next("Who waits"), line, WIDTH));
    }
    for stream in Stream::BOTH {
        names.path(&mut out, "FIFOs", &dir.fifo(stream));
    }
    let log = match scenario.host.log_folder {
        FolderKind::Present | FolderKind::Symlink => dir.log(),
        // It is mounted where only the case's own processes see it.
        FolderKind::Tmpfs | FolderKind::Stalling => {
            let inside = dir.log();
            let inside = inside.strip_prefix("/").unwrap_or(&inside).to_owned();
            Path::new(&format!("/proc/{}/root", standing.case)).join(inside)
        }
    };
    names.path(&mut out, "Log", &log);
    names.path(&mut out, "Trace", &dir.trace());
    for process in &standing.processes {
        names.line(&mut out, "Look", &format!("ls -l /proc/{}/fd", process.pid));
    }
    if let Some(process) = standing.processes.first() {
        let threads = format!("grep . /proc/{}/task/*/wchan", process.pid);
        names.line(&mut out, "Look", &threads);
    }
    out.push('\n');
    out.push_str(&wrapped(
        "The plan stands still, and the programs go on. Enter, the end of standard input or SIGINT \
         ends them all.",
        "  ",
        WIDTH,
    ));
    out
}

fn name_of(part: &str) -> &str {
    match part {
        "logmon" => "logmon",
        "driver" => "driver",
        "task" => "task",
        "host" => "host",
        _ => "of somebody",
    }
}

/// Names in a column of their own, each told once.
#[derive(Default)]
struct Column {
    told: String,
}

impl Column {
    fn next(&mut self, name: &str) -> String {
        let told = if self.told == name { "" } else { name };
        let column = format!("  {told:<15}");
        name.clone_into(&mut self.told);
        column
    }

    fn line(&mut self, out: &mut String, name: &str, text: &str) {
        let column = self.next(name);
        out.push_str(&format!("{column}{text}\n"));
    }

    fn path(&mut self, out: &mut String, name: &str, path: &Path) {
        self.line(out, name, &path.display().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::expand;
    use crate::standing::LivingProcess;

    fn told(host: &str) -> String {
        let text = format!(
            "id = \"mon/x\"\ntitle = \"It works.\"\nrules = [\"MON-9\"]\n\
             needs = [\"storage-faults\"]\n{host}\n[[plan]]\ndo = \"start-logmon\"\n"
        );
        let scenario = expand(&text, "x.toml").unwrap().remove(0);
        let here = Standing {
            at: "behind step 1, start logmon".into(),
            case: 7,
            processes: vec![LivingProcess {
                pid: 8,
                part: "logmon".into(),
                command: format!("logmon\nrun \u{1b}[2J{}", "x".repeat(99)),
            }],
            waits: vec![
                "logmon 8 (logmon): poll".into(),
                "stdout.fifo: empty".into(),
            ],
        };
        standing(&here, &scenario, &CaseDir::new("/out/a.1"))
    }

    #[test]
    fn who_lives_where_everything_is_and_how_to_look_stands_there() {
        let text = told("");
        let expected = "mon/x\n  stopped behind step 1, start logmon\n\n\
            \x20 Case process   7\n\
            \x20 logmon         8  logmon run \u{fffd}[2Jx";
        assert!(text.starts_with(expected), "{text}");
        for line in [
            "  Who waits      logmon 8 (logmon): poll\n                 stdout.fifo: empty\n",
            "  FIFOs          /out/a.1/fifo/stdout.fifo\n                 /out/a.1/fifo/stderr.fifo\n",
            "  Log            /out/a.1/log\n  Trace          /out/a.1/trace.jsonl\n",
            "  Look           ls -l /proc/8/fd\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
    }

    #[test]
    fn a_log_that_only_the_case_sees_is_named_by_way_of_it() {
        let text = told("host = { log_folder = \"tmpfs\", log_folder_bytes = \"1MiB\" }");
        let line = "  Log            /proc/7/root/out/a.1/log\n";
        assert!(text.contains(line), "{text}");
    }
}
