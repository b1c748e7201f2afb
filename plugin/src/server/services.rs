//! Which service answers a path (edge: it calls the services).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Route = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// The services of a plugin, by their names.
#[derive(Clone, Default)]
pub struct Services {
    routes: BTreeMap<&'static str, Route>,
}

impl Services {
    /// Gives no services.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service, such as a `LogMonServer`. One of the same name is replaced.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let route = move |request| -> Answer {
            let mut service = service.clone();
            Box::pin(async move {
                let ready: Result<(), Infallible> = poll_fn(|cx| service.poll_ready(cx)).await;
                let answer = match ready {
                    Ok(()) => service.call(request).await,
                    Err(never) => match never {},
                };
                match answer {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            })
        };
        self.routes.insert(S::NAME, Arc::new(route));
        self
    }

    /// Adds those of `others` whose name no service here has.
    pub(super) fn and_others(mut self, others: Services) -> Self {
        for (name, route) in others.routes {
            self.routes.entry(name).or_insert(route);
        }
        self
    }

    /// Answers one call. What is not there is not implemented, as gRPC says it.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        match service.and_then(|(name, _)| self.routes.get(name)) {
            Some(route) => route(request).await,
            None => Status::unimplemented(format!("there is no {path}")).into_http(),
        }
    }
}
