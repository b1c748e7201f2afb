//! Hears what a command says that is spoken with (edge).

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;

use executor::{Cancel, CancelSource, CommandEnd, End, ExecMessage, ExecOutput};

use crate::stage::LONG;

/// Ends a wait that takes too long, and says so.
pub(crate) struct Watchdog {
    barks: Arc<CancelSource>,
    _stop: Sender<()>,
}

impl Watchdog {
    pub(crate) fn new() -> Watchdog {
        let barks = Arc::new(CancelSource::new().unwrap());
        let (stop, stopped) = channel();
        let source = Arc::clone(&barks);
        thread::spawn(move || {
            if stopped.recv_timeout(LONG) == Err(RecvTimeoutError::Timeout) {
                source.cancel();
            }
        });
        Watchdog { barks, _stop: stop }
    }

    pub(crate) fn cancel(&self) -> Cancel<'_> {
        Cancel::when_readable(&*self.barks)
    }
}

/// Hears until its stdout is this, or longer.
pub(crate) fn hear(output: &mut ExecOutput, until: impl Fn(&str) -> bool) -> String {
    let watchdog = Watchdog::new();
    let mut heard = String::new();
    while !until(&heard) {
        match output.next(watchdog.cancel()).unwrap() {
            Some(ExecMessage::Stdout(bytes)) => heard.push_str(str::from_utf8(&bytes).unwrap()),
            other => panic!("{other:?} behind {heard:?}"),
        }
    }
    heard
}

/// Hears all, and the end.
pub(crate) fn all(output: &mut ExecOutput) -> (Vec<u8>, Vec<u8>, CommandEnd) {
    let watchdog = Watchdog::new();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match output.next(watchdog.cancel()).unwrap() {
            Some(ExecMessage::Stdout(bytes)) => out.extend(bytes),
            Some(ExecMessage::Stderr(bytes)) => err.extend(bytes),
            Some(ExecMessage::Ended(end)) => {
                assert_eq!(
                    output.next(Cancel::never()).unwrap(),
                    None,
                    "it is the last"
                );
                return (out, err, end);
            }
            None => panic!("no end behind {out:?}, {err:?}"),
        }
    }
}

/// As text.
pub(crate) fn texts(output: &mut ExecOutput) -> (String, String, CommandEnd) {
    let (out, err, end) = all(output);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(err), end)
}

/// The end with this code.
pub(crate) fn code(code: i32) -> CommandEnd {
    CommandEnd::Ended(End::Code(code))
}
