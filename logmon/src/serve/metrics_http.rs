//! Edge: an HTTP/1.1 responder that knows one request, `GET /metrics`, and closes after each answer.
//!
//! What a client may send and how long it may take are bounded, so it can hold one of
//! [`super::server::MAX_SCRAPES`] places for [`PATIENCE`] and do nothing else.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tracing::debug;

use super::metrics::render;
use super::tasks::Tasks;

/// How long a scrape may take, from the connection to the last byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that the head of a request may have.
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// What the head of a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The head is not complete.
    More,
    Metrics,
    /// The head of the answer to the same.
    MetricsHead,
    UnknownPath,
    UnknownMethod,
    NotHttp,
}

/// A connection of either kind.
pub(super) trait Connection {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;
    fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize>;
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

impl Connection for TcpStream {
    async fn readable(&self) -> io::Result<()> {
        TcpStream::readable(self).await
    }
    async fn writable(&self) -> io::Result<()> {
        TcpStream::writable(self).await
    }
    fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        TcpStream::try_read(self, bytes)
    }
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        TcpStream::try_write(self, bytes)
    }
}

impl Connection for UnixStream {
    async fn readable(&self) -> io::Result<()> {
        UnixStream::readable(self).await
    }
    async fn writable(&self) -> io::Result<()> {
        UnixStream::writable(self).await
    }
    fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        UnixStream::try_read(self, bytes)
    }
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        UnixStream::try_write(self, bytes)
    }
}

/// Answers one request.
pub(super) async fn serve_scrape(client: impl Connection, tasks: Tasks) {
    match timeout(PATIENCE, answer(&client, &tasks)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "left a scrape"),
        Err(_) => debug!("left a scrape that took too long"),
    }
}

async fn answer(client: &impl Connection, tasks: &Tasks) -> io::Result<()> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    let asked = loop {
        client.readable().await?;
        match client.try_read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(bytes) => head.extend_from_slice(&chunk[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        match asked_for(&head) {
            Asked::More if head.len() < MAX_HEAD_BYTES => {}
            Asked::More => break Asked::NotHttp,
            asked @ (Asked::Metrics
            | Asked::MetricsHead
            | Asked::UnknownPath
            | Asked::UnknownMethod
            | Asked::NotHttp) => break asked,
        }
    };
    let (status, body) = match asked {
        Asked::Metrics | Asked::MetricsHead => {
            let reports = match tasks.ask(None) {
                Ok(questions) => questions.answers().await,
                Err(_) => Vec::new(),
            };
            ("200 OK", render(env!("CARGO_PKG_VERSION"), &reports))
        }
        Asked::UnknownPath => ("404 Not Found", "try /metrics\n".to_owned()),
        Asked::UnknownMethod => ("405 Method Not Allowed\r\nAllow: GET, HEAD", String::new()),
        Asked::More | Asked::NotHttp => ("400 Bad Request", String::new()),
    };
    let mut reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if asked != Asked::MetricsHead {
        reply.push_str(&body);
    }
    let mut rest = reply.as_bytes();
    while !rest.is_empty() {
        client.writable().await?;
        match client.try_write(rest) {
            Ok(bytes) => rest = &rest[bytes..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads the request line; the other lines are of no interest, but must have come.
fn asked_for(head: &[u8]) -> Asked {
    let has_end = |end: &[u8]| head.windows(end.len()).any(|window| window == end);
    if !has_end(b"\r\n\r\n") && !has_end(b"\n\n") {
        return Asked::More;
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.trim_ascii().split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return Asked::NotHttp;
    };
    if !version.starts_with(b"HTTP/1.") {
        return Asked::NotHttp;
    }
    let path = target.split(|byte| *byte == b'?').next();
    match (method, path) {
        (b"GET", Some(b"/metrics")) => Asked::Metrics,
        (b"HEAD", Some(b"/metrics")) => Asked::MetricsHead,
        (b"GET" | b"HEAD", _) => Asked::UnknownPath,
        (_, _) => Asked::UnknownMethod,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_request_is_known() {
        for (head, asked) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Asked::Metrics),
            ("GET /metrics?a=b HTTP/1.0\r\n\r\n", Asked::Metrics),
            ("GET /metrics HTTP/1.1\n\n", Asked::Metrics),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", Asked::MetricsHead),
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n", Asked::More),
            ("GET / HTTP/1.1\r\n\r\n", Asked::UnknownPath),
            ("POST /metrics HTTP/1.1\r\n\r\n", Asked::UnknownMethod),
            ("GET /metrics HTTP/2\r\n\r\n", Asked::NotHttp),
            ("GET /metrics\r\n\r\n", Asked::NotHttp),
            ("\r\n\r\n", Asked::NotHttp),
        ] {
            assert_eq!(asked_for(head.as_bytes()), asked, "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(head in prop::collection::vec(any::<u8>(), 0..200)) {
            let _asked: Asked = asked_for(&head);
        }
    }
}
