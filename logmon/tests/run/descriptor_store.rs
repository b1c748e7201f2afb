//! Edge: a service manager's descriptor store in place of a keeper, with a small stand-in for the manager.
//!
//! The stand-in does what `sd_notify(3)` and `sd_listen_fds(3)` say: it stores descriptors under names,
//! removes them by name, closes what comes with a barrier, and gives everything back at the next start.

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use crate::subject::refusal;
use crate::support::{Place, lines, wait_until, write_all};

/// Names and descriptors, in the order of their arrival.
type Stored = Arc<Mutex<Vec<(String, OwnedFd)>>>;

/// The stand-in.
struct Manager {
    stored: Stored,
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Manager {
    fn start(place: &Place) -> Manager {
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        let limit = Some(Duration::from_millis(50));
        socket.set_read_timeout(limit).unwrap();
        let stored = Stored::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let (shelf, over) = (stored.clone(), is_over.clone());
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                take_one(&socket, &shelf);
            }
        });
        Manager {
            stored,
            is_over,
            thread: Some(thread),
        }
    }

    fn names(&self) -> Vec<String> {
        let stored = self.stored.lock().unwrap();
        let mut names: Vec<String> = stored.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// Starts logmon as the manager does, with what is stored at the numbers from 3 on. A shell puts them
    /// there: it gets up to three as its own standard descriptors.
    fn start_logmon(&self, place: &Place) -> Service {
        let stored = self.stored.lock().unwrap();
        assert!(stored.len() <= 3);
        let ready = place.path("ready");
        drop(fs::remove_file(&ready));
        let mut shell = Command::new("bash");
        let listen = if stored.is_empty() {
            ""
        } else {
            "exec 3<&0 4<&1 5<&2; export LISTEN_PID=$$;"
        };
        let script = format!(
            "{listen} exec 0</dev/null 1>{} 2>>{}; exec \"$@\"",
            ready.display(),
            place.path("diagnostics").display()
        );
        shell.args(["-c", &script, "bash", env!("CARGO_BIN_EXE_logmon")]);
        place.add_options(&mut shell, "1000", "1MiB");
        shell.args(["--keeper", "systemd"]);
        shell.env("NOTIFY_SOCKET", place.path("notify"));
        let names: Vec<&str> = stored.iter().map(|(name, _)| name.as_str()).collect();
        shell.env("LISTEN_FDS", stored.len().to_string());
        shell.env("LISTEN_FDNAMES", names.join(":"));
        let copy = |number: usize| match stored.get(number) {
            Some((_, descriptor)) => Stdio::from(descriptor.try_clone().unwrap()),
            None => Stdio::null(),
        };
        shell.stdin(copy(0)).stdout(copy(1)).stderr(copy(2));
        let service = Service(shell.spawn().unwrap());
        drop(stored);
        wait_until("logmon is ready", || {
            fs::read(&ready).is_ok_and(|text| text == b"ready\n")
        });
        service
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

fn take_one(socket: &UnixDatagram, stored: &Stored) {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut room = [IoSliceMut::new(&mut bytes)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let Ok(received) = rustix::net::recvmsg(socket, &mut room, &mut beside, flags) else {
        return;
    };
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(all) = message {
            descriptors.extend(all);
        }
    }
    let text = String::from_utf8(bytes[..received.bytes].to_vec()).unwrap();
    let value = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map(str::to_owned)
    };
    let mut stored = stored.lock().unwrap();
    if value("FDSTORE=").as_deref() == Some("1") {
        // Without it the manager would close a FIFO when its last writer leaves.
        assert_eq!(value("FDPOLL=").as_deref(), Some("0"), "{text}");
        let name = value("FDNAME=").unwrap();
        assert!(name.len() <= 255 && !name.contains(':'), "{name}");
        for descriptor in descriptors.drain(..) {
            stored.push((name.clone(), descriptor));
        }
    } else if value("FDSTOREREMOVE=").as_deref() == Some("1") {
        let name = value("FDNAME=").unwrap();
        stored.retain(|(one, _)| *one != name);
    }
    // What came with a barrier is closed here.
}

/// A logmon that the manager started; killed when it is dropped.
struct Service(Child);

impl Service {
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn stop(mut self) -> Option<i32> {
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_manager_holds_what_a_dead_logmon_held() {
    let place = Place::new();
    drop(File::create(place.path("diagnostics")).unwrap());
    let manager = Manager::start(&place);
    let mut service = manager.start_logmon(&place);
    let names = manager.names();
    assert!(names[0].starts_with("logmon.fifo."), "{names:?}");
    let writer = place.writer();
    let mut expected = Vec::new();
    for life in 0..4 {
        write_all(&writer, &lines(life * 20, 10));
        expected.extend(lines(life * 20, 10));
        place.wait_for_log(&expected);
        service.kill();
        // Nobody else holds a read end.
        write_all(&writer, &lines(life * 20 + 10, 10));
        expected.extend(lines(life * 20 + 10, 10));
        service = manager.start_logmon(&place);
        assert_eq!(manager.names(), names, "the same is not stored twice");
    }
    place.wait_for_log(&expected);
    assert_eq!(service.stop(), Some(0));
    assert_eq!(manager.names(), Vec::<String>::new());
}

#[test]
fn without_a_manager_it_is_refused_by_name() {
    let place = Place::new();
    let mut command = place.command("5", "1MiB");
    command.args(["--keeper", "systemd"]);
    command.env_remove("NOTIFY_SOCKET");
    let (code, told) = refusal(command);
    assert_eq!(code, Some(65), "{told}");
    assert!(told.contains("NOTIFY_SOCKET"), "{told}");
}
