//! The host's side of a command that is spoken with while it runs: what it says first, and what it is told: an edge.

use plugin::failure::required;
use plugin::proto::driver::exec_task_streaming_request::Setup;
use plugin::proto::driver::{
    ExecTaskStreamingIo, ExecTaskStreamingRequest, ExecTaskStreamingResponse, ExitResult,
};
use plugin::{Status, Streaming};
use tokio::sync::mpsc;

/// Messages to the host, or why there are no more.
pub(super) type Answers = mpsc::Sender<Result<ExecTaskStreamingResponse, Status>>;

/// Takes the first message of a stream, which says what to run.
pub(super) async fn first_message(
    input: &mut Streaming<ExecTaskStreamingRequest>,
) -> Result<Setup, Status> {
    let first = input.message().await?;
    let setup = first.and_then(|first| first.setup);
    Ok(required(setup, "ExecTaskStreaming", "setup")?)
}

/// The last word to the host: how the command ended, or why nobody knows.
pub(super) fn ended(said: Result<ExitResult, Status>) -> Result<ExecTaskStreamingResponse, Status> {
    said.map(|result| ExecTaskStreamingResponse {
        exited: true,
        result: Some(result),
        ..ExecTaskStreamingResponse::default()
    })
}

/// What the command said on stdout, or that it is closed.
pub(super) fn of_stdout(data: Vec<u8>, close: bool) -> ExecTaskStreamingResponse {
    ExecTaskStreamingResponse {
        stdout: Some(ExecTaskStreamingIo { data, close }),
        ..ExecTaskStreamingResponse::default()
    }
}

/// What the command said on stderr, or that it is closed.
pub(super) fn of_stderr(data: Vec<u8>, close: bool) -> ExecTaskStreamingResponse {
    ExecTaskStreamingResponse {
        stderr: Some(ExecTaskStreamingIo { data, close }),
        ..ExecTaskStreamingResponse::default()
    }
}
