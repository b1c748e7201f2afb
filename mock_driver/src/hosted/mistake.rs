//! A mistake in one call of the plugin protocol, which a host must bear: an edge around services; which mistakes
//! there are is a core.

use std::convert::Infallible;
use std::future::pending;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugin::proto::base::base_plugin_server::BasePluginServer;
use plugin::proto::driver::driver_server::DriverServer;
use plugin::proto::go_plugin::Empty;
use plugin::proto::go_plugin::grpc_controller_server::{GrpcController, GrpcControllerServer};
use plugin::server::Services;
use plugin::{Request, Response, Status, async_trait};
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderMap, HeaderValue};
use tonic::codegen::{Bytes, Service};
use tonic::server::NamedService;

use super::base::Base;
use super::driver::Driver;

/// The calls of the two services of a driver.
const CALLS: [&str; 17] = [
    "PluginInfo",
    "ConfigSchema",
    "SetConfig",
    "TaskConfigSchema",
    "Capabilities",
    "Fingerprint",
    "RecoverTask",
    "StartTask",
    "WaitTask",
    "StopTask",
    "DestroyTask",
    "InspectTask",
    "TaskStats",
    "TaskEvents",
    "SignalTask",
    "ExecTask",
    "ExecTaskStreaming",
];
/// The end, which a host asks for.
const SHUTDOWN: &str = "Shutdown";
/// How much a flood is: more than any host should keep of it.
const FLOOD_BYTES: usize = 16 * 1024 * 1024;
/// A message of no field: not compressed, of no bytes (gRPC over HTTP/2, "Length-Prefixed-Message").
const EMPTY_MESSAGE: &[u8] = &[0; 5];

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The plugin dies, as of a crash.
    Dies,
    /// There is no answer.
    Hangs,
    /// The answer has none of its fields.
    LeavesOut,
    /// The plugin writes very much to stderr before it answers.
    Floods,
}

/// A mistake and the call in which it is made, each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mistake {
    kind: Kind,
    call: &'static str,
}

impl Mistake {
    /// Reads `KIND:CALL`.
    pub(crate) fn named(text: &str) -> Result<Self, String> {
        let Some((kind, call)) = text.split_once(':') else {
            return Err("it is MISTAKE:CALL, such as dies:StartTask".to_owned());
        };
        let kind = match kind {
            "dies" => Kind::Dies,
            "hangs" => Kind::Hangs,
            "leaves-out" => Kind::LeavesOut,
            "floods" => Kind::Floods,
            _ => {
                return Err(format!(
                    "there is no mistake `{kind}`, but dies, hangs, leaves-out and floods"
                ));
            }
        };
        if call == SHUTDOWN && kind == Kind::Hangs {
            return Ok(Self {
                kind,
                call: SHUTDOWN,
            });
        }
        let known = CALLS.into_iter().find(|one| *one == call);
        let call = known.ok_or_else(|| {
            let all = CALLS.join(", ");
            format!("there is no call `{call}` for that, but {all}; and hangs:{SHUTDOWN}")
        })?;
        Ok(Self { kind, call })
    }

    /// The services with this mistake in them.
    pub(super) fn made_by(
        self,
        base: BasePluginServer<Base>,
        driver: DriverServer<Driver>,
    ) -> Services {
        let services = Services::new()
            .with(Erring::new(base, self))
            .with(Erring::new(driver, self));
        match self.call {
            SHUTDOWN => services.with(GrpcControllerServer::new(Deaf)),
            _ => services,
        }
    }
}

/// Never answers Shutdown, and lives on.
struct Deaf;

#[async_trait]
impl GrpcController for Deaf {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        pending().await
    }
}

/// A service that makes a mistake in one of its calls.
#[derive(Clone)]
struct Erring<S> {
    service: S,
    mistake: Mistake,
}

impl<S> Erring<S> {
    fn new(service: S, mistake: Mistake) -> Self {
        Self { service, mistake }
    }
}

impl<S: NamedService> NamedService for Erring<S> {
    const NAME: &'static str = S::NAME;
}

type Answer = Result<http::Response<Body>, Infallible>;

impl<S, B> Service<http::Request<B>> for Erring<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let Mistake { kind, call } = self.mistake;
        let is_it = request.uri().path().rsplit('/').next() == Some(call);
        let answer = self.service.call(request);
        if !is_it {
            return Box::pin(answer);
        }
        Box::pin(async move {
            match kind {
                Kind::Dies => {
                    // As a crash: nothing is put in order.
                    kill(Pid::this(), Signal::SIGKILL).ok();
                    pending().await
                }
                Kind::Hangs => pending().await,
                Kind::LeavesOut => Ok(empty()),
                Kind::Floods => {
                    tokio::task::spawn_blocking(flood).await.ok();
                    answer.await
                }
            }
        })
    }
}

/// A success whose message has no field.
fn empty() -> http::Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let message = Full::new(Bytes::from_static(EMPTY_MESSAGE));
    let body = message.with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut answer = http::Response::new(Body::new(body));
    let kind = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert("content-type", kind);
    answer
}

fn flood() {
    let line = format!("{}\n", "a flood on stderr ".repeat(56));
    let mut left = FLOOD_BYTES;
    while left > 0 && io::stderr().write_all(line.as_bytes()).is_ok() {
        left = left.saturating_sub(line.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_named_with_its_call() {
        let hangs = Mistake::named("hangs:Shutdown").unwrap();
        assert_eq!((hangs.kind, hangs.call), (Kind::Hangs, SHUTDOWN));
        let floods = Mistake::named("floods:WaitTask").unwrap();
        assert_eq!((floods.kind, floods.call), (Kind::Floods, "WaitTask"));
        for wrong in ["dies", "sleeps:StartTask", "dies:Start", "dies:Shutdown"] {
            assert!(Mistake::named(wrong).is_err(), "{wrong}");
        }
    }
}
