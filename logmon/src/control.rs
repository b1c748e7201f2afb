//! Edge: `logmon ctl` and `logmon status`, the client of the control socket: one request, one answer.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::cli::{OnFullArg, Order, StatusOf, TaskArgs};
use crate::config::RawStream;
use crate::diagnostics;
use crate::error::Error;
use crate::exit::Exit;
use crate::name::StreamKind;
use crate::serve::{Answer, VERSION};
use crate::table;

/// How long a server may take to answer: a stop takes at most 2 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives an order, and tells what came of it.
pub(crate) fn order(socket: &Path, order: Order) -> Exit {
    let request = match order {
        Order::Status(what) => return status(socket, what),
        Order::Ping => Ok(request("ping", [])),
        Order::Stop { task } => Ok(request("stop", [("task", json!(task))])),
        Order::Reconfigure {
            task,
            max_files,
            max_file_size,
            line_guard,
        } => Ok(request(
            "reconfigure",
            [
                ("task", json!(task)),
                ("max_files", json!(max_files)),
                ("max_file_size", json!(max_file_size)),
                ("line_guard", json!(line_guard)),
            ],
        )),
        Order::Start { task, settings } => start(task, settings),
    };
    tell(
        request.and_then(|request| ask(socket, &request)),
        |answer, _| table::of_answer(answer),
    )
}

/// Shows how one task is, or all.
pub(crate) fn status(socket: &Path, what: StatusOf) -> Exit {
    let is_one = what.task.is_some();
    let request = request("status", [("task", json!(what.task))]);
    tell(ask(socket, &request), |answer, line| {
        if what.json {
            return line.to_owned();
        }
        let tasks = answer.body.tasks.as_deref().unwrap_or_default();
        match tasks {
            [task] if is_one => table::of_task(task, SystemTime::now()),
            tasks => table::of_tasks(tasks, SystemTime::now()),
        }
    })
}

fn tell(
    answered: Result<(Answer, String), Error>,
    show: impl FnOnce(&Answer, &str) -> String,
) -> Exit {
    match answered {
        Ok((answer, line)) => {
            diagnostics::announce(show(&answer, &line).trim_end());
            match &answer.error {
                None => Exit::Drained,
                Some(failure) => {
                    diagnostics::tell_text(&failure.message);
                    Exit::of_code(failure.exit)
                }
            }
        }
        Err(error) => {
            diagnostics::tell(&error);
            error.exit()
        }
    }
}

/// A request without the fields that are null, because those were not given.
fn request<const N: usize>(op: &str, fields: [(&str, Value); N]) -> Value {
    let mut request = Map::new();
    request.insert("v".into(), json!(VERSION));
    request.insert("op".into(), json!(op));
    for (field, value) in fields {
        if !value.is_null() {
            request.insert(field.into(), value);
        }
    }
    Value::Object(request)
}

fn start(task: String, settings: TaskArgs) -> Result<Value, Error> {
    let stream = |kind, text: Option<OsString>| -> Result<Value, Error> {
        let Some(text) = text else {
            return Ok(Value::Null);
        };
        let RawStream { fifo, name } = RawStream::split(kind, &text)?;
        let option = StreamKind::word(kind);
        Ok(json!({ "fifo": absolute(option, &fifo)?, "name": text_of(option, &name)? }))
    };
    let trusted_root = settings.trusted_root.as_deref();
    let trusted_root = trusted_root
        .map(|root| absolute("trusted-root", root))
        .transpose()?;
    Ok(request(
        "start",
        [
            ("task", json!(task)),
            ("log_dir", json!(absolute("log-dir", &settings.log_dir)?)),
            ("trusted_root", json!(trusted_root)),
            ("stdout", stream(StreamKind::Stdout, settings.stdout)?),
            ("stderr", stream(StreamKind::Stderr, settings.stderr)?),
            ("max_files", json!(settings.max_files)),
            ("max_file_size", json!(settings.max_file_size)),
            ("line_guard", json!(settings.line_guard)),
            (
                "on_full",
                json!(match settings.on_full {
                    OnFullArg::Block => "block",
                    OnFullArg::Drop => "drop",
                }),
            ),
            ("fifo_mode", json!(settings.fifo_mode)),
            ("fifo_owner", json!(settings.fifo_owner)),
        ],
    ))
}

/// The server has another working folder.
fn absolute(option: &'static str, path: &Path) -> Result<String, Error> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    text_of(option, absolute.as_os_str()).map(str::to_owned)
}

fn text_of<'a>(option: &'static str, text: &'a OsStr) -> Result<&'a str, Error> {
    text.to_str().ok_or_else(|| Error::NotUtf8 {
        option,
        path: PathBuf::from(text),
    })
}

fn ask(socket: &Path, request: &Value) -> Result<(Answer, String), Error> {
    let failed = |source| Error::Unreachable {
        path: socket.to_owned(),
        source,
    };
    let mut line = String::new();
    converse(socket, request, &mut line).map_err(failed)?;
    let answer = serde_json::from_str(&line).map_err(|error| failed(error.into()))?;
    Ok((answer, line))
}

fn converse(socket: &Path, request: &Value, line: &mut String) -> io::Result<()> {
    let mut server = UnixStream::connect(socket)?;
    server.set_read_timeout(Some(PATIENCE))?;
    server.set_write_timeout(Some(PATIENCE))?;
    server.write_all(format!("{request}\n").as_bytes())?;
    if BufReader::new(server).read_line(line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
