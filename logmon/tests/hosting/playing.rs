//! Plugins that are no good log collectors. Each notes the calls that it gets, a line each.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use plugin::proto::logmon::log_mon_server::{LogMon, LogMonServer};
use plugin::proto::logmon::{StartRequest, StartResponse, StopRequest, StopResponse};
use plugin::server::{Server, Services, fail, refuse};
use plugin::{Request, Response, Status, async_trait};

/// What makes the test program one of them.
pub(crate) const WORD: &str = "__plugin";

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
        let kind = kind.to_owned();
        Services::new().with(LogMonServer::new(Played { kind, notes }))
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

fn note(notes: &PathBuf, line: &str) {
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
}

#[async_trait]
impl LogMon for Played {
    async fn start(
        &self,
        request: Request<StartRequest>,
    ) -> Result<Response<StartResponse>, Status> {
        let request = request.into_inner();
        note(&self.notes, &format!("start {}", request.stdout_file_name));
        let starts = fs::read_to_string(&self.notes).unwrap().lines().count();
        match self.kind.as_str() {
            "dies" if starts <= DEATHS => std::process::exit(9),
            "waits" if starts == 1 => std::future::pending().await,
            "refuses" => Err(Status::invalid_argument("not today")),
            "loses" | "dies" | "waits" => Ok(Response::new(StartResponse {})),
            other => panic!("there is no kind {other}"),
        }
    }

    async fn stop(&self, _: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        note(&self.notes, "stop");
        if self.kind == "loses" {
            return Err(Status::unknown("7 bytes could not be written"));
        }
        Ok(Response::new(StopResponse {}))
    }
}
