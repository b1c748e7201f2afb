//! One process for many tasks: a thread for each, told over a socket, a line each way. (edge)

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};
use serde::{Deserialize, Serialize};

use super::collect::{CollectError, block_signals, collect_until, open, say_ready, system};
use super::config::Config;
use super::fault::Fault;
use super::hoard::Asking;
use super::stream::Stream;

/// What one read takes at most: there is a buffer for every task.
const CHUNK_BYTES: usize = 4 << 10;
/// The stack of a task's thread.
const STACK_BYTES: usize = 128 << 10;
/// Descriptors that a task has: two FIFOs, two files, and both ends of the pipe that ends it.
const NEED: u64 = 6;
/// Descriptors that no start may take: for rotations and for whoever asks.
const RESERVE: u64 = 32;
/// Of how many tasks one has its stream mixed with the next one's, by a fault.
const MIXED_EVERY: usize = 50;
/// What a task takes that takes too much.
const TOO_MUCH: usize = 256 << 10;
/// The tasks of one that can have no more, however many descriptors there are.
const FEW_TASKS: usize = 100;
/// How long whoever asks may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answer if what was asked is done.
pub(super) const DONE: &str = "done";

/// What a server is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Collect this task's output.
    Start {
        /// Its name.
        task: String,
        /// What to do.
        config: Config,
    },
    /// Drain it and let it go.
    Stop {
        /// Its name.
        task: String,
    },
}

/// A task that runs.
enum Task {
    Thread {
        stop: OwnedFd,
        thread: JoinHandle<Result<(), CollectError>>,
    },
    /// By a fault: a process of its own.
    Process(Child),
}

struct Server {
    fault: Fault,
    tasks: BTreeMap<String, Task>,
    /// Starts that were done so far.
    started: usize,
    /// Whether a start was refused because there were no descriptors.
    has_refused: bool,
    /// One that is begun together with the next one, by a fault.
    waiting: Option<(String, Config, Vec<Stream>)>,
    /// What a fault never gives back.
    memory: Vec<Vec<u8>>,
    kept: Vec<OwnedFd>,
}

/// Serves until SIGTERM or SIGINT, and drains every task then.
pub(super) fn serve(fault: Fault, control: &Path) -> Result<(), CollectError> {
    let signals = block_signals()?;
    let listener = UnixListener::bind(control).map_err(failed("listen"))?;
    say_ready()?;
    let mut server = Server {
        fault,
        tasks: BTreeMap::new(),
        started: 0,
        has_refused: false,
        waiting: None,
        memory: Vec::new(),
        kept: Vec::new(),
    };
    loop {
        let mut fds = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(system("wait for a request")(errno)),
        }
        let told = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        if told(&fds[0]) {
            break;
        }
        if told(&fds[1]) {
            let asking = Asking::begin();
            let (asker, _) = listener.accept().map_err(failed("accept a request"))?;
            // Whoever goes away before the answer has asked for nothing.
            server.hear(asker).ok();
            // Not whether there is room now: the connection has gone, which may have been what was missing.
            if fault == Fault::GivesUpOnEmfile && server.has_refused {
                asking.take_the_rest();
            }
        }
    }
    fs::remove_file(control).map_err(failed("remove the socket"))?;
    let all = std::mem::take(&mut server.tasks);
    all.into_values().try_for_each(Task::end)
}

/// Asks a server, and gives what it refuses.
pub(super) fn ask(control: &Path, request: &Request) -> io::Result<Result<(), String>> {
    let mut server = UnixStream::connect(control)?;
    let line = serde_json::to_string(request)?;
    server.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(server).read_line(&mut answer)?;
    match answer.trim_end() {
        DONE => Ok(Ok(())),
        "" => Err(io::ErrorKind::UnexpectedEof.into()),
        refusal => Ok(Err(refusal.to_owned())),
    }
}

impl Server {
    fn hear(&mut self, mut asker: UnixStream) -> io::Result<()> {
        asker.set_read_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new(&asker).read_line(&mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        let answer = match self.answer(&line) {
            Ok(()) => DONE.to_owned(),
            Err(refusal) => refusal,
        };
        asker.write_all(format!("{answer}\n").as_bytes())
    }

    fn answer(&mut self, line: &str) -> Result<(), String> {
        match serde_json::from_str(line).map_err(|error| error.to_string())? {
            Request::Start { task, config } => self.start(task, config),
            Request::Stop { task } => {
                if self
                    .waiting
                    .as_ref()
                    .is_some_and(|(name, ..)| *name == task)
                {
                    self.begin_waiting();
                }
                match self.tasks.remove(&task) {
                    None => Err(format!("no task is called {task}")),
                    Some(Task::Thread { stop, .. })
                        if self.fault == Fault::AnswersBeforeDrained =>
                    {
                        drop(stop);
                        Ok(())
                    }
                    Some(task) => task.end().map_err(|error| told(&error)),
                }
            }
        }
    }

    fn start(&mut self, task: String, config: Config) -> Result<(), String> {
        if self.tasks.contains_key(&task) {
            return Ok(());
        }
        if self.fault == Fault::ServesAHundred && self.tasks.len() >= FEW_TASKS {
            return Err(format!("there are {FEW_TASKS} tasks already"));
        }
        if !self.has_room() {
            self.has_refused = true;
            if self.fault == Fault::StartsWithoutDescriptors {
                return Ok(());
            }
            if self.fault == Fault::TakesWhatItRefuses {
                let fifos = config.streams.iter().map(|stream| stream.fifo.as_path());
                fifos.for_each(take_some);
            }
            return Err("there are no descriptors for another task".to_owned());
        }
        if self.fault == Fault::ProcessPerTask {
            let child = start_process(&config).map_err(|error| error.to_string())?;
            self.tasks.insert(task, Task::Process(child));
            return Ok(());
        }
        let streams = open(&config).map_err(|error| told(&error))?;
        self.started += 1;
        if self.fault == Fault::MemoryPerTask {
            self.memory.push(vec![1; TOO_MUCH]);
        }
        if self.fault == Fault::KeepsStoppedTasks {
            let copies = streams.iter().map(|stream| stream.fd.try_clone());
            self.kept.extend(copies.flatten());
        }
        if self.fault == Fault::MixesTasks && self.started % MIXED_EVERY == 1 {
            self.begin_waiting();
            self.waiting = Some((task, config, streams));
            return Ok(());
        }
        self.begin(task, config, streams)
    }

    /// Starts the thread of a task, and of the one that waits for it.
    fn begin(
        &mut self,
        task: String,
        config: Config,
        mut streams: Vec<Stream>,
    ) -> Result<(), String> {
        if let Some((_, _, others)) = &mut self.waiting
            && let (Some(one), Some(other)) = (streams.first_mut(), others.first_mut())
        {
            std::mem::swap(&mut one.fd, &mut other.fd);
            self.begin_waiting();
        }
        let (end, stop) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| errno.to_string())?;
        let collect = move || collect_until(&config, streams, &[end.as_fd()], CHUNK_BYTES);
        let thread = thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(collect)
            .map_err(|error| error.to_string())?;
        self.tasks.insert(task, Task::Thread { stop, thread });
        Ok(())
    }

    fn begin_waiting(&mut self) {
        if let Some((task, config, streams)) = self.waiting.take() {
            // What it can't do shows in its log.
            self.begin(task, config, streams).ok();
        }
    }

    /// Whether there are descriptors for another task, and some to spare.
    fn has_room(&self) -> bool {
        let reserve = if self.fault == Fault::GivesUpOnEmfile {
            2
        } else {
            RESERVE
        };
        let used = fs::read_dir("/proc/self/fd").map_or(u64::MAX, |all| all.count() as u64);
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
        used.saturating_add(NEED + reserve) <= limit
    }
}

impl Task {
    /// Drains a task and lets it go.
    fn end(self) -> Result<(), CollectError> {
        match self {
            Self::Thread { stop, thread } => {
                // The other end of a closed pipe can be read.
                drop(stop);
                thread.join().unwrap_or(Err(CollectError::System {
                    operation: "wait for a task's thread",
                    source: io::ErrorKind::Other.into(),
                }))
            }
            Self::Process(mut child) => {
                let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
                kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(system("end a task"))?;
                child.wait().map(|_| ()).map_err(failed("end a task"))
            }
        }
    }
}

/// Starts a logmon for one task, and waits until it is ready.
fn start_process(config: &Config) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["faulty-logmon", "none", "run", "--log-dir"]);
    command.arg(&config.folder);
    for (option, stream) in ["--stdout", "--stderr"].iter().zip(&config.streams) {
        command.arg(option);
        command.arg(format!("{}={}", stream.fifo.display(), stream.name));
    }
    command.args(["--max-files", &config.max_files.to_string()]);
    command.args(["--max-file-size", &config.max_file_bytes.to_string()]);
    command.args(["--line-guard", &config.line_guard.to_string()]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(said) = child.stdout.take() {
        BufReader::new(said).read_line(&mut line)?;
    }
    if line == "ready\n" {
        Ok(child)
    } else {
        child.wait()?;
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Takes bytes out of a FIFO for nobody.
fn take_some(fifo: &Path) {
    if let Ok(reader) = fifo::Reader::open(fifo) {
        // Whatever it gives is lost.
        drop(reader.try_read(&mut [0; 300]));
    }
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> CollectError {
    move |source| CollectError::System { operation, source }
}

/// An error with its causes in one line.
fn told(error: &CollectError) -> String {
    let mut text = format!("failed to {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
