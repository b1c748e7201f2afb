//! The suite's end of a stdio adapter: sends requests, and takes in answers as they come. (edge)

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::wire::{Line, Request, read_line};
use crate::printable::beginning;

/// The longest line that is taken, in bytes without the newline.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// How much of a line is shown, in bytes.
const SHOWN_LINE_BYTES: usize = 2_000;

/// A request whose answer has not come yet.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The operation's name.
    pub op: String,
    /// The line that was sent.
    pub line: String,
    sent: Instant,
    limit: Option<Duration>,
}

/// What keeps an adapter from being spoken to any further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The operation concerned, if it is known.
    pub op: Option<String>,
    /// Whether an answer did not come in time.
    pub is_late: bool,
    /// What is wrong, a sentence.
    pub text: String,
    /// The request's line.
    pub request: Option<String>,
    /// The adapter's line.
    pub answer: Option<String>,
}

impl Trouble {
    /// A trouble with an answer to a request.
    #[must_use]
    pub fn with_answer(asked: &Asked, answer: &str, text: String) -> Self {
        Self {
            op: Some(asked.op.clone()),
            is_late: false,
            text,
            request: Some(asked.line.clone()),
            answer: Some(answer.to_owned()),
        }
    }

    /// The lines that it is about, each with whose it is. Of a long one the beginning.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let shown = |line: &String| beginning(line, SHOWN_LINE_BYTES);
        let request = self
            .request
            .iter()
            .map(shown)
            .map(|line| format!("request: {line}"));
        let answer = self
            .answer
            .iter()
            .map(shown)
            .map(|line| format!("answer:  {line}"));
        request.chain(answer).collect()
    }
}

/// Something that was heard.
#[derive(Clone, Debug)]
pub enum Heard {
    /// An answer to a request.
    Answer {
        /// The request.
        asked: Asked,
        /// The answer as it came.
        text: String,
        /// The same, read.
        line: Line,
    },
    /// The adapter can't be spoken to any more.
    Trouble(Trouble),
    /// The adapter has closed its stdout.
    End,
}

/// A conversation with one adapter process.
#[derive(Debug)]
pub struct Client {
    requests: Option<File>,
    answers: Option<File>,
    partial: Vec<u8>,
    next_seq: u64,
    waiting: BTreeMap<u64, Asked>,
}

impl Client {
    /// A conversation over the process's stdin and stdout. Neither end is ever waited for.
    ///
    /// # Errors
    /// The descriptors can't be set up.
    pub fn over(stdin: OwnedFd, stdout: OwnedFd) -> std::io::Result<Self> {
        for end in [stdin.as_fd(), stdout.as_fd()] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self {
            requests: Some(File::from(stdin)),
            answers: Some(File::from(stdout)),
            partial: Vec::new(),
            next_seq: 1,
            waiting: BTreeMap::new(),
        })
    }

    /// Sends a request and gives its number. With a limit the answer is late after it.
    ///
    /// # Errors
    /// The adapter does not take the line.
    pub fn ask(&mut self, request: &Request, limit: Option<Duration>) -> Result<u64, Trouble> {
        let seq = self.next_seq;
        self.next_seq += 1;
        let line = request.line(seq);
        let sent = match &mut self.requests {
            Some(file) => file.write_all(format!("{line}\n").as_bytes()),
            None => Err(ErrorKind::BrokenPipe.into()),
        };
        if let Err(error) = sent {
            let why = if error.kind() == ErrorKind::WouldBlock {
                "it does not read its stdin".to_owned()
            } else if error.kind() == ErrorKind::BrokenPipe {
                "it has closed its stdin".to_owned()
            } else {
                error.to_string()
            };
            return Err(Trouble {
                op: Some(request.op().to_owned()),
                is_late: false,
                text: format!("the adapter does not take a request: {why}"),
                request: Some(line),
                answer: None,
            });
        }
        let asked = Asked {
            op: request.op().to_owned(),
            line,
            sent: Instant::now(),
            limit,
        };
        self.waiting.insert(seq, asked);
        Ok(seq)
    }

    /// The line of a request that still waits for its answer.
    #[must_use]
    pub fn line_of(&self, seq: u64) -> Option<String> {
        self.waiting.get(&seq).map(|asked| asked.line.clone())
    }

    /// Whether a process still has the adapter's stdin: poll(2) reports a pipe without one.
    #[must_use]
    pub fn is_listened_to(&self) -> bool {
        let Some(requests) = &self.requests else {
            return false;
        };
        let mut fds = [PollFd::new(requests.as_fd(), PollFlags::empty())];
        let told = poll(&mut fds, PollTimeout::ZERO);
        told.is_ok()
            && !fds[0]
                .revents()
                .is_some_and(|is| is.contains(PollFlags::POLLERR))
    }

    /// Closes the adapter's stdin: nothing more will be asked.
    pub fn close(&mut self) {
        self.requests = None;
    }

    /// Takes in what has come by now, without waiting.
    pub fn poll(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        let is_over = self.read();
        while let Some(end) = self.partial.iter().position(|&byte| byte == b'\n') {
            let rest = self.partial.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.partial, rest);
            line.pop();
            heard.push(self.take(&line));
        }
        if self.partial.len() > MAX_LINE_BYTES {
            let start: Vec<u8> = self.partial.drain(..).take(120).collect();
            heard.push(Heard::Trouble(self.about_line(
                &format!("{}…", String::from_utf8_lossy(&start)),
                format!("an answer has at most {MAX_LINE_BYTES} bytes"),
            )));
        }
        let now = Instant::now();
        let is_late = |asked: &Asked| {
            let limit = asked.limit?;
            (now.saturating_duration_since(asked.sent) > limit).then_some(limit)
        };
        let late: Vec<(u64, Duration)> = self
            .waiting
            .iter()
            .filter_map(|(seq, asked)| Some((*seq, is_late(asked)?)))
            .collect();
        for (seq, limit) in late {
            if let Some(asked) = self.waiting.remove(&seq) {
                heard.push(Heard::Trouble(Trouble {
                    text: format!(
                        "`{}` was not answered within {} ms",
                        asked.op,
                        limit.as_millis()
                    ),
                    op: Some(asked.op),
                    is_late: true,
                    request: Some(asked.line),
                    answer: None,
                }));
            }
        }
        if is_over {
            self.answers = None;
            if !self.partial.is_empty() {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.partial)).into_owned();
                heard.push(Heard::Trouble(self.about_line(
                    &line,
                    "the last line has no newline at its end".into(),
                )));
            }
            heard.push(Heard::End);
        }
        heard
    }

    /// Waits until something is heard, at most so long.
    pub fn wait(&mut self, limit: Duration) -> Vec<Heard> {
        let until = Instant::now() + limit;
        loop {
            let heard = self.poll();
            let left = until.saturating_duration_since(Instant::now());
            if !heard.is_empty() || left.is_zero() {
                return heard;
            }
            let Some(answers) = &self.answers else {
                return heard;
            };
            // A late answer is noticed although nothing comes.
            let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).min(50);
            let mut fds = [PollFd::new(answers.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::from(millis.max(1))).ok();
        }
    }

    /// Reads what is there, and says whether the other end is closed.
    fn read(&mut self) -> bool {
        let Some(answers) = &mut self.answers else {
            return false;
        };
        let mut buffer = [0; 16 << 10];
        while self.partial.len() <= MAX_LINE_BYTES {
            match answers.read(&mut buffer) {
                Ok(0) => return true,
                Ok(count) => self.partial.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
        false
    }

    fn about_line(&self, line: &str, text: String) -> Trouble {
        // With one question open it is clear which one the line was to answer.
        let asked = match self.waiting.len() {
            1 => self.waiting.values().next(),
            _ => None,
        };
        Trouble {
            op: asked.map(|asked| asked.op.clone()),
            is_late: false,
            text,
            request: asked.map(|asked| asked.line.clone()),
            answer: Some(line.to_owned()),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Heard {
        let Ok(text) = std::str::from_utf8(bytes) else {
            let line = String::from_utf8_lossy(bytes);
            return Heard::Trouble(self.about_line(&line, "an answer is UTF-8".into()));
        };
        let line = match read_line(text) {
            Ok(line) => line,
            Err(why) => return Heard::Trouble(self.about_line(text, why)),
        };
        match self.waiting.remove(&line.seq) {
            Some(asked) => Heard::Answer {
                asked,
                text: text.to_owned(),
                line,
            },
            None => {
                let why = format!("no request with `seq` {} waits for an answer", line.seq);
                Heard::Trouble(self.about_line(text, why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::pipe;

    struct Ends {
        client: Client,
        requests: File,
        answers: Option<File>,
    }

    fn ends() -> Ends {
        let (theirs, ours) = pipe().unwrap();
        let (mine, yours) = pipe().unwrap();
        Ends {
            client: Client::over(ours, mine).unwrap(),
            requests: File::from(theirs),
            answers: Some(File::from(yours)),
        }
    }

    impl Ends {
        fn say(&mut self, text: &str) {
            let answers = self.answers.as_mut().unwrap();
            answers.write_all(text.as_bytes()).unwrap();
        }

        fn trouble(&mut self) -> Trouble {
            match self.client.poll().remove(0) {
                Heard::Trouble(trouble) => trouble,
                other @ (Heard::Answer { .. } | Heard::End) => panic!("{other:?}"),
            }
        }
    }

    fn wait(id: &str) -> Request {
        Request::Wait { id: id.into() }
    }

    #[test]
    fn a_pipe_whose_last_reader_is_gone_is_not_listened_to() {
        let (theirs, requests) = pipe().unwrap();
        let (answers, _stdout) = pipe().unwrap();
        let client = Client::over(requests, answers).unwrap();
        let another = theirs.try_clone().unwrap();
        drop(theirs);
        assert!(client.is_listened_to());
        drop(another);
        assert!(!client.is_listened_to());
    }

    #[test]
    fn answers_find_their_requests_in_any_order_and_in_pieces() {
        let mut ends = ends();
        let first = ends.client.ask(&wait("a"), None).unwrap();
        let second = ends.client.ask(&wait("b"), None).unwrap();
        ends.say(&format!("{{\"seq\":{second},\"exit\":2}}\n{{\"seq\""));
        let heard = ends.client.poll();
        assert_eq!(heard.len(), 1);
        let waits = |seq| ends.client.line_of(seq).is_some();
        assert!(waits(first) && !waits(second));
        ends.say(&format!(":{first},\"exit\":1}}\n"));
        let heard = ends.client.poll();
        let [Heard::Answer { asked, text, .. }] = &heard[..] else {
            panic!("{heard:?}");
        };
        assert!(asked.line.contains("\"id\":\"a\""), "{}", asked.line);
        assert_eq!(text, &format!("{{\"seq\":{first},\"exit\":1}}"));
        let mut sent = [0; 1024];
        let count = ends.requests.read(&mut sent).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&sent[..count]).lines().count(),
            2,
            "one line each"
        );
    }

    #[test]
    fn a_line_that_answers_nothing_is_shown_as_it_came() {
        let mut ends = ends();
        ends.client.ask(&wait("a"), None).unwrap();
        ends.say("{\"seq\":99}\n");
        let trouble = ends.trouble();
        assert!(trouble.text.contains("`seq` 99"), "{trouble:?}");
        assert_eq!(
            trouble.lines(),
            [
                "request: {\"seq\":1,\"op\":\"wait\",\"id\":\"a\"}",
                "answer:  {\"seq\":99}"
            ]
        );
        let long = Trouble {
            answer: Some("x".repeat(900_000)),
            ..trouble
        };
        let line = &long.lines()[1];
        assert!(line.len() < 2_100 && line.ends_with("… (900000 bytes in all)"));
        ends.say("what?\n");
        assert_eq!(ends.trouble().answer.as_deref(), Some("what?"));
    }

    #[test]
    fn an_answer_that_does_not_come_in_time_is_late_once() {
        let mut ends = ends();
        ends.client.ask(&wait("a"), Some(Duration::ZERO)).unwrap();
        let heard = ends.client.wait(Duration::from_secs(5));
        let [Heard::Trouble(trouble)] = &heard[..] else {
            panic!("{heard:?}");
        };
        assert!(trouble.is_late && trouble.text.contains("`wait` was not answered within 0 ms"));
        assert!(ends.client.poll().is_empty());
    }

    #[test]
    fn the_end_is_heard_and_a_line_without_its_newline_is_none() {
        let mut ends = ends();
        ends.say("{\"seq\":1}");
        ends.answers = None;
        let heard = ends.client.poll();
        assert!(
            matches!(&heard[..], [Heard::Trouble(one), Heard::End] if one.text.contains("newline")),
            "{heard:?}"
        );
        assert!(ends.client.poll().is_empty());
        drop(ends.requests);
        let refused = ends.client.ask(&wait("a"), None).unwrap_err();
        assert!(refused.text.contains("closed its stdin"), "{refused:?}");
    }
}
