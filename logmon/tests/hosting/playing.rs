//! Plugins that are no good log collectors, or not as ours. Each notes the calls that it gets, a line each.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use plugin::proto::logmon::log_mon_server::{LogMon, LogMonServer};
use plugin::proto::logmon::{StartRequest, StartResponse, StopRequest, StopResponse};
use plugin::server::{Server, Services, fail, refuse};
use plugin::{Request, Response, Status, async_trait};

use crate::copying::Copies;

/// What makes the test program one of them.
pub(crate) const WORD: &str = "__plugin";

/// What a plugin notes that is told again what it collects already.
pub(crate) const AGAIN: &str = "start again";
/// What a plugin notes when it has come to the end of a stream.
pub(crate) const ENDED: &str = "end of file";

/// So many Starts does a plugin die in that dies.
pub(crate) const DEATHS: usize = 2;

/// Plays a plugin of this kind until it is ended.
pub(crate) fn play(kind: &str, notes: PathBuf) -> ExitCode {
    if kind == "hangs" {
        note(&notes, "hangs");
        loop {
            thread::park();
        }
    }
    let server = match Server::invited() {
        Ok(server) => server,
        Err(refusal) => return refuse(&refusal),
    };
    let services = if kind == "collects-nothing" {
        Services::new()
    } else {
        Services::new().with(LogMonServer::new(Played {
            kind: kind.to_owned(),
            copies: Copies::new(notes.clone()),
            notes,
            has_started: AtomicBool::new(false),
        }))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match runtime.block_on(server.serve(services)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

pub(crate) fn note(notes: &PathBuf, line: &str) {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(notes)
        .unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

struct Played {
    kind: String,
    notes: PathBuf,
    /// True once a Start was answered with success.
    has_started: AtomicBool,
    copies: Copies,
}

impl Played {
    /// Takes a Start of what was started already.
    fn start_again(&self, request: &StartRequest) -> Result<Response<StartResponse>, Status> {
        note(&self.notes, AGAIN);
        if self.kind == "refuses-again" {
            return Err(Status::unknown("not twice"));
        }
        if self.kind == "copies" {
            self.copies.start(request);
        }
        Ok(Response::new(StartResponse {}))
    }
}

#[async_trait]
impl LogMon for Played {
    async fn start(
        &self,
        request: Request<StartRequest>,
    ) -> Result<Response<StartResponse>, Status> {
        let request = request.into_inner();
        if self.has_started.load(Ordering::SeqCst) {
            return self.start_again(&request);
        }
        note(&self.notes, &format!("start {}", request.stdout_file_name));
        let starts = fs::read_to_string(&self.notes).unwrap().lines().count();
        match self.kind.as_str() {
            "dies" if starts <= DEATHS => std::process::exit(9),
            "waits" if starts == 1 => std::future::pending().await,
            "refuses" => Err(Status::invalid_argument("not today")),
            "loses" | "dies" | "waits" | "refuses-again" => Ok(()),
            "copies" => {
                self.copies.start(&request);
                Ok(())
            }
            other => panic!("there is no kind {other}"),
        }?;
        self.has_started.store(true, Ordering::SeqCst);
        Ok(Response::new(StartResponse {}))
    }

    async fn stop(&self, _: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        note(&self.notes, "stop");
        if self.kind == "loses" {
            return Err(Status::unknown("7 bytes could not be written"));
        }
        Ok(Response::new(StopResponse {}))
    }
}
