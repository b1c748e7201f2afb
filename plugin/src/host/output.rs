//! What a plugin says (edge): standard output and standard error are read for ever, whatever comes, in
//! bounded memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::handshake::MAX_LINE_BYTES;
use crate::hclog::{Reader, Record};

/// A longer line of standard error is several lines, as for the original host.
const MAX_LOG_LINE_BYTES: usize = 64 * 1024;

/// So much of standard error is kept for messages.
const MAX_WORDS_BYTES: usize = 2048;

/// How long the rest of standard error may take once its plugin has ended.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(1);

/// One thing that a plugin said.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A line on standard error.
    Log(Record),
    /// Bytes on standard output behind the handshake. The original host drops them.
    Stray(Vec<u8>),
    /// A chunk of standard output that came over the connection.
    Stdout(Vec<u8>),
    /// A chunk of standard error that came over the connection.
    Stderr(Vec<u8>),
}

/// Gets what a plugin says, on the task that reads it: while it runs, nothing more is read.
pub(super) type Listener = Arc<dyn Fn(Said) + Send + Sync>;

/// The last words of a plugin on standard error, to stand in a message; empty if there were none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(String);

impl Words {
    /// Gives the lines, without a newline at the end.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let lines = self.0.lines().map(|line| {
            line.chars()
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .collect::<String>()
        });
        write!(f, "; it said: {}", lines.collect::<Vec<_>>().join(" / "))
    }
}

/// The tail of standard error, as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Tail(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    lines: Mutex<VecDeque<String>>,
    is_whole: watch::Sender<bool>,
}

impl Tail {
    /// Gives a tail that is still to come.
    pub(super) fn coming() -> Self {
        Self(Arc::new(Kept {
            lines: Mutex::default(),
            is_whole: watch::Sender::new(false),
        }))
    }

    /// Gives the tail of a standard error that somebody else reads.
    pub(super) fn none() -> Self {
        let tail = Self::coming();
        tail.end();
        tail
    }

    fn add(&self, message: &str) {
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(message.chars().take(MAX_WORDS_BYTES / 4).collect());
        while lines.iter().map(String::len).sum::<usize>() > MAX_WORDS_BYTES && lines.len() > 1 {
            lines.pop_front();
        }
        // Empty lines have no bytes, and are many.
        while lines.len() > MAX_WORDS_BYTES / 32 {
            lines.pop_front();
        }
    }

    fn end(&self) {
        self.0.is_whole.send_replace(true);
    }

    /// Gives what was said so far.
    pub(super) fn words(&self) -> Words {
        let lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Words(lines.iter().cloned().collect::<Vec<_>>().join("\n"))
    }

    /// Gives what a plugin said that has ended, once it has been read to its end. A child of the plugin may
    /// hold standard error open, so this does not wait for long.
    pub(super) async fn last_words(&self) -> Words {
        let mut is_whole = self.0.is_whole.subscribe();
        drop(timeout(LAST_WORDS_WAIT, is_whole.wait_for(|whole| *whole)).await);
        self.words()
    }
}

/// What stood on standard output before the plugin said more, was cut off or ended.
#[derive(Debug)]
pub(super) enum FirstLine {
    /// A line, or so much of one that it is no handshake.
    Line(Vec<u8>),
    /// Standard output was closed.
    Closed,
}

/// Reads the first line, and gives what came behind it.
pub(super) async fn first_line(stdout: &mut (impl AsyncRead + Unpin)) -> (FirstLine, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let count = stdout.read(&mut buffer).await.unwrap_or(0);
        bytes.extend(&buffer[..count]);
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let rest = bytes.split_off(end + 1);
            return (FirstLine::Line(bytes), rest);
        }
        if bytes.len() > MAX_LINE_BYTES || (count == 0 && !bytes.is_empty()) {
            return (FirstLine::Line(bytes), Vec::new());
        }
        if count == 0 {
            return (FirstLine::Closed, Vec::new());
        }
    }
}

/// Reads standard output for ever, as the plugin would wait for who does not.
pub(super) async fn drain(
    mut stdout: impl AsyncRead + Unpin,
    rest: Vec<u8>,
    listener: Option<Listener>,
) {
    let say = |bytes: &[u8]| {
        if let Some(listener) = listener.as_ref().filter(|_| !bytes.is_empty()) {
            listener(Said::Stray(bytes.to_vec()));
        }
    };
    say(&rest);
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stdout.read(&mut buffer).await {
        say(&buffer[..count]);
    }
}

/// Reads standard error line by line for ever.
pub(super) async fn read_log(
    mut stderr: impl AsyncRead + Unpin,
    tail: Tail,
    listener: Option<Listener>,
) {
    let mut reader = Reader::default();
    let mut say = |line: &[u8]| {
        let record = reader.read(line);
        tail.add(&record.message);
        if let Some(listener) = &listener {
            listener(Said::Log(record));
        }
    };
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        for part in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
            line.extend(part);
            if line.ends_with(b"\n") || line.len() >= MAX_LOG_LINE_BYTES {
                say(&line);
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        say(&line);
    }
    tail.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(stderr: &[u8]) -> (Vec<String>, Tail) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let tail = Tail::coming();
        let listener = {
            let heard = Arc::clone(&heard);
            Arc::new(move |said| heard.lock().unwrap().push(said))
        };
        read_log(stderr, tail.clone(), Some(listener)).await;
        let heard = heard.lock().unwrap();
        let message = |said: &Said| match said {
            Said::Log(record) => record.message.clone(),
            Said::Stray(_) | Said::Stdout(_) | Said::Stderr(_) => panic!("{said:?}"),
        };
        (heard.iter().map(message).collect(), tail)
    }

    #[tokio::test]
    async fn a_line_of_any_length_is_read_in_bounded_pieces() {
        let mut stderr = vec![b'x'; 3 * MAX_LOG_LINE_BYTES / 2];
        stderr.extend(b"\n[INFO] a\nrest");
        let (lines, tail) = lines(&stderr).await;
        let lengths: Vec<_> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [64 * 1024, 32 * 1024, 1, 4]);
        assert!(tail.words().text().ends_with("\na\nrest"));
    }

    #[tokio::test]
    async fn a_flood_leaves_its_last_words() {
        let flood: String = (0..10_000).map(|n| format!("line {n}\n")).collect();
        let (_, tail) = lines(flood.as_bytes()).await;
        let words = tail.words();
        assert!(words.text().len() < 2 * MAX_WORDS_BYTES);
        assert!(words.text().ends_with("line 9998\nline 9999"));
        let (_, tail) = lines(format!("{}\n", "x".repeat(500)).repeat(1000).as_bytes()).await;
        assert!(tail.words().text().len() <= 2 * MAX_WORDS_BYTES);
        let (_, tail) = lines(&[b'\n'; 10_000]).await;
        assert!(tail.words().text().len() <= 64);
    }

    #[tokio::test]
    async fn last_words_are_waited_for_until_standard_error_has_ended() {
        let tail = Tail::coming();
        let later = async {
            tokio::task::yield_now().await;
            read_log(b"bye".as_slice(), tail.clone(), None).await;
        };
        let (words, ()) = tokio::join!(tail.last_words(), later);
        assert_eq!(words.text(), "bye");
        assert_eq!(Tail::none().last_words().await, Words::default());
    }

    #[test]
    fn words_stand_on_one_line_of_a_message() {
        assert_eq!(Words::default().to_string(), "");
        let words = Words("a\u{1b}[31m\nb".to_owned());
        assert_eq!(words.to_string(), "; it said: a\u{fffd}[31m / b");
    }

    #[tokio::test]
    async fn the_first_line_ends_at_its_newline_or_at_the_limit_or_at_the_end() {
        let (line, rest) = first_line(&mut b"1|2\nmore".as_slice()).await;
        assert!(matches!(line, FirstLine::Line(line) if line == b"1|2\n"));
        assert_eq!(rest, b"more");
        let (line, _) = first_line(&mut b"1|2".as_slice()).await;
        assert!(matches!(line, FirstLine::Line(line) if line == b"1|2"));
        let (line, _) = first_line(&mut [b'x'; 20_000].as_slice()).await;
        assert!(matches!(line, FirstLine::Line(line) if line.len() < 10_000));
        let (line, _) = first_line(&mut b"".as_slice()).await;
        assert!(matches!(line, FirstLine::Closed));
    }
}
