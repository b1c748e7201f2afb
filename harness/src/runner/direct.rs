//! Runs a script's real program without any driver, for comparison. (edge)

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use mock_driver::script::Step;
use mock_driver::stream::Stream;
use sha2::{Digest, Sha256};

use super::kin::Part;
use super::stage::{Stage, Stop};
use crate::scenario::Exactness;
use crate::trace::Event;

/// How long the program may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Bytes and hash of a stream.
type Sum = (u64, String);

impl Stage {
    /// Records the output of the first `exec` of the main script, where the scenario compares with
    /// it.
    pub(super) fn run_directly(&mut self) -> Result<(), Stop> {
        let expect = &self.case.scenario.expect;
        if ![expect.stdout, expect.stderr].contains(&Exactness::SameAsDirect) {
            return Ok(());
        }
        let argv = self.case.scenario.tasks.get("main").and_then(|script| {
            script.steps.iter().find_map(|step| {
                if let Step::Exec { argv } = step {
                    Some(argv.clone())
                } else {
                    None
                }
            })
        });
        let Some(argv) = argv else {
            return Err(Stop::Suite(
                "`same-as-direct` needs an `exec` step in the script `main`".into(),
            ));
        };
        let failed = |error: io::Error| Stop::Suite(format!("run `{}` directly: {error}", argv[0]));
        let mut child = Command::new(&argv[0])
            .args(&argv[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        self.kin.register(pid, Part::Host);
        let (sender, sums) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            sum_aside(Stream::Stdout, stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            sum_aside(Stream::Stderr, stderr, sender);
        }
        let mut done: Vec<(Stream, io::Result<Sum>)> = Vec::new();
        let all = self.wait(LIMIT, |stage| {
            done.extend(sums.try_iter());
            (done.len() == 2 && stage.ended.contains_key(&pid)).then_some(())
        })?;
        if all.is_none() {
            return Err(Stop::Suite(format!(
                "`{}`, run directly, does not end",
                argv[0]
            )));
        }
        for (stream, sum) in done {
            let (bytes, sha256) = sum.map_err(failed)?;
            self.trace.add(Event::Direct {
                stream,
                bytes,
                sha256,
            });
        }
        Ok(())
    }
}

/// Reads a pipe to its end on a thread of its own.
fn sum_aside(
    stream: Stream,
    pipe: impl Read + Send + 'static,
    sender: mpsc::Sender<(Stream, io::Result<Sum>)>,
) {
    std::thread::spawn(move || {
        // Nobody is there to receive it if the case has ended meanwhile.
        sender.send((stream, sum(pipe))).ok();
    });
}

fn sum(mut pipe: impl Read) -> io::Result<Sum> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
    let hex = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok((bytes, hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_the_length_and_the_known_hash() {
        let (bytes, hex) = sum(&b"abc"[..]).unwrap();
        assert_eq!(bytes, 3);
        assert_eq!(
            hex,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
