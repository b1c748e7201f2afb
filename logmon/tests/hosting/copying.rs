//! A log collector whose copies end with the last writer, as those of Nomad's own do: the read end stays open,
//! nobody reads it, and it is opened again only by the next Start, in a thread that waits for a writer. A Start
//! changes nothing while both copies run.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use plugin::proto::logmon::StartRequest;

use crate::playing::{ENDED, note};

/// The copies of both streams, once there was a Start.
pub(crate) struct Copies {
    notes: PathBuf,
    copies: Mutex<Vec<Copying>>,
}

impl Copies {
    pub(crate) fn new(notes: PathBuf) -> Copies {
        let copies = Mutex::default();
        Copies { notes, copies }
    }

    /// Does what a Start asks for. Gives true if it opens the FIFOs.
    pub(crate) fn start(&self, request: &StartRequest) -> bool {
        let mut copies = self.copies.lock().unwrap();
        if !copies.is_empty() && !copies.iter().any(Copying::has_ended) {
            return false;
        }
        copies.drain(..).for_each(Copying::close);
        let folder = Path::new(&request.log_dir);
        let streams = [
            (&request.stdout_fifo, &request.stdout_file_name),
            (&request.stderr_fifo, &request.stderr_file_name),
        ];
        copies.extend(streams.map(|(fifo, name)| {
            fifo::create_or_adopt(Path::new(fifo), 0o600).unwrap();
            let log = folder.join(format!("{name}.0"));
            Copying::begin(fifo.into(), log, self.notes.clone())
        }));
        true
    }
}

/// One copy, and the read end that it leaves open when it ends.
struct Copying {
    has_ended: Arc<AtomicBool>,
    is_closed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Copying {
    fn begin(fifo: PathBuf, log: PathBuf, notes: PathBuf) -> Copying {
        let [has_ended, is_closed] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let (ended, closed) = (Arc::clone(&has_ended), Arc::clone(&is_closed));
        let thread = thread::spawn(move || {
            let mut pipe = File::open(fifo).unwrap();
            let mut log = File::options().create(true).append(true).open(log).unwrap();
            let mut buffer = [0; 4096];
            loop {
                match pipe.read(&mut buffer).unwrap() {
                    0 => break,
                    count => log.write_all(&buffer[..count]).unwrap(),
                }
            }
            ended.store(true, Ordering::SeqCst);
            note(&notes, ENDED);
            while !closed.load(Ordering::SeqCst) {
                thread::park();
            }
        });
        Copying {
            has_ended,
            is_closed,
            thread,
        }
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Closes the read end. A copy that runs goes on to its end, and closes then.
    fn close(self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        if self.has_ended() {
            self.thread.join().unwrap();
        }
    }
}
