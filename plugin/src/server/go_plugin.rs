//! The services that every plugin has beside its own (edge).

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::sync::watch;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::capture::SharedOutlet;
use super::outlet::Fetched;
use crate::proto::go_plugin::grpc_broker_server::GrpcBroker;
use crate::proto::go_plugin::grpc_controller_server::GrpcController;
use crate::proto::go_plugin::grpc_stdio_server::GrpcStdio;
use crate::proto::go_plugin::{ConnInfo, Empty, StdioData};

/// Sends what is captured.
pub(super) struct Stdio(pub(super) SharedOutlet);

/// What one host fetches.
pub(super) struct Chunks {
    outlet: SharedOutlet,
    host: u64,
}

impl Stream for Chunks {
    type Item = Result<StdioData, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.outlet.lock().fetch(self.host, cx.waker()) {
            Fetched::Chunk(chunk) => Poll::Ready(Some(Ok(chunk))),
            Fetched::Wait => Poll::Pending,
            Fetched::End => Poll::Ready(None),
        }
    }
}

#[async_trait]
impl GrpcStdio for Stdio {
    type StreamStdioStream = Chunks;

    async fn stream_stdio(&self, _: Request<()>) -> Result<Response<Chunks>, Status> {
        let host = self.0.lock().attach();
        let outlet = self.0.clone();
        Ok(Response::new(Chunks { outlet, host }))
    }
}

/// Accepts the stream of a host and says nothing on it: there are no further services.
pub(super) struct Broker(pub(super) watch::Receiver<bool>);

/// Open until the host closes its side or the plugin ends.
pub(super) struct Silence {
    from_host: Streaming<ConnInfo>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Stream for Silence {
    type Item = Result<ConnInfo, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        loop {
            match pin!(&mut self.from_host).poll_next(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Ends when the plugin is to end.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>) {
    // Nobody being left to stop it is a stop, too.
    drop(stop.wait_for(|stop| *stop).await);
}

#[async_trait]
impl GrpcBroker for Broker {
    type StartStreamStream = Silence;

    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Silence>, Status> {
        Ok(Response::new(Silence {
            from_host: request.into_inner(),
            stopped: Box::pin(stopped(self.0.clone())),
        }))
    }
}

/// Ends the plugin.
pub(super) struct Controller(pub(super) watch::Sender<bool>);

#[async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.0.send_replace(true);
        Ok(Response::new(Empty {}))
    }
}
