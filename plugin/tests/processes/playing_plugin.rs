//! The plugins of the tests, good and bad.

use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use plugin::failure;
use plugin::hclog::Level;
use plugin::proto::base::base_plugin_server::{BasePlugin, BasePluginServer};
use plugin::proto::base::{
    ConfigSchemaRequest, ConfigSchemaResponse, PluginInfoRequest, PluginInfoResponse, PluginType,
    SetConfigRequest, SetConfigResponse,
};
use plugin::proto::driver::driver_server::DriverServer;
use plugin::proto::logmon::log_mon_server::{LogMon, LogMonServer};
use plugin::proto::logmon::{StartRequest, StartResponse, StopRequest, StopResponse};
use plugin::server::{Capture, Log, Server, Services, fail, refuse};
use plugin::spec::{Spec, Type};
use plugin::{Request, Response, Status, async_trait};

use tokio::sync::Notify;

#[cfg(feature = "tls")]
use crate::encrypting::Identity;
use crate::stage::runtime;

mod driver;

/// The kinds that outlive their hosts; a bad one would, too, and never end.
const GOOD: [&str; 2] = ["good", "captures-all"];

fn end_with_the_host() {
    let host = rustix::process::getppid();
    while rustix::process::getppid() == host {
        thread::park_timeout(Duration::from_millis(500));
    }
    std::process::exit(1);
}

/// Plays a plugin of this kind until it is ended.
pub(crate) fn play(kind: &str) -> ExitCode {
    if !GOOD.contains(&kind) {
        thread::spawn(end_with_the_host);
    }
    match kind {
        "hangs" => for_ever(),
        "garbage" => {
            say("hello from a program that is no plugin\n");
            for_ever()
        }
        "protocol-1" => {
            say("1|1|unix|/nowhere|grpc|\n");
            for_ever()
        }
        "listens-for-protocol-1" => {
            let (_listener, path) = bound();
            say(&format!("1|1|unix|{path}|grpc|\n"));
            for_ever()
        }
        "listens-and-hangs" => {
            let _listener = bound();
            for_ever()
        }
        "listens-and-says-nonsense" => {
            let _listener = bound();
            say("hello\n");
            for_ever()
        }
        "no-socket" => {
            say("1|2|unix|/nowhere/at/all|grpc|\n");
            for_ever()
        }
        "names-another" | "names-another-for-protocol-1" => {
            let named = std::env::var("NAMED").unwrap();
            let protocol = if kind == "names-another" { 2 } else { 1 };
            say(&format!("1|{protocol}|unix|{named}|grpc|\n"));
            for_ever()
        }
        "ends" => {
            // As much as a pipe holds, so that its end is read behind the end of the process.
            let before = "[DEBUG] looking for a licence ...............\n".repeat(1000);
            let text = format!("{before}[ERROR] there is no licence\nbye\n");
            drop(io::stderr().write_all(text.as_bytes()));
            ExitCode::from(3)
        }
        "closes" => {
            // Standard output of a child that is put in its place is closed with it.
            rustix::stdio::dup2_stdout(rustix::stdio::stdin()).unwrap();
            for_ever()
        }
        "floods" => loop {
            drop(io::stderr().write_all(&[b'x'; 8192]));
        },
        "deaf" => listen("", "", hold),
        "chatty" => listen("", &"x".repeat(1 << 20), hold),
        "hangs-up" => listen("", "", drop),
        "speaks-http-1" => listen("", "", |mut stream| {
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            drop(stream.write_all(answer));
            hold(stream);
        }),
        #[cfg(feature = "tls")]
        "tells-no-base64" => listen(&"!".repeat(80), "", hold),
        #[cfg(feature = "tls")]
        "tells-no-certificate" => listen(&"A".repeat(80), "", hold),
        #[cfg(feature = "tls")]
        "tells-a-certificate-and-hangs-up" => listen(&Identity::new().in_handshake(), "", drop),
        #[cfg(feature = "tls")]
        "tells-a-certificate-and-is-deaf" => listen(&Identity::new().in_handshake(), "", hold),
        #[cfg(feature = "tls")]
        "shows-another-certificate" => listen(&Identity::new().in_handshake(), "", show_another),
        _ => served(kind),
    }
}

/// Shakes hands with a certificate of its own.
#[cfg(feature = "tls")]
fn show_another(mut stream: UnixStream) {
    let own = Identity::new();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.certificate.clone()], own.key())
        .unwrap();
    let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
    // Who is refused is told so, and goes on.
    drop(tls.complete_io(&mut stream));
    hold(stream);
}

fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).unwrap();
    stdout.flush().unwrap();
}

fn for_ever() -> ExitCode {
    loop {
        thread::park();
    }
}

/// Listens, without a word about it.
fn bound() -> (UnixListener, String) {
    let path = std::env::temp_dir().join("plugin-by-hand");
    let listener = UnixListener::bind(&path).unwrap();
    (listener, path.display().to_string())
}

/// Takes connections and does this with each; tells this certificate, and says this behind the handshake.
fn listen(certificate: &str, more: &str, each: fn(UnixStream)) -> ExitCode {
    let (listener, path) = bound();
    say(&format!("1|2|unix|{path}|grpc|{certificate}\n{more}"));
    loop {
        each(listener.accept().unwrap().0);
    }
}

/// Holds a connection open without a word.
fn hold(stream: UnixStream) {
    std::mem::forget(stream);
}

fn served(kind: &str) -> ExitCode {
    let server = match Server::invited() {
        Ok(server) => server,
        Err(refusal) => return refuse(&refusal),
    };
    let server = match kind {
        "captures-all" => server.capture(Capture::StdoutAndStderr),
        _ => server,
    };
    if kind == "says-much" {
        for n in 0..20_000 {
            drop(writeln!(
                io::stderr(),
                "[INFO] line {n} {}",
                "x".repeat(200)
            ));
        }
    }
    let log = server.log("test").unwrap();
    let stopped = Arc::new(Notify::new());
    let services = Services::new()
        .with(BasePluginServer::new(Base {
            leaves_out: kind == "leaves-out",
        }))
        .with(DriverServer::new(driver::Driver {
            leaves_out: kind == "leaves-out",
            stopped: Arc::clone(&stopped),
        }))
        .with(LogMonServer::new(Collector { log, stopped }));
    let runtime = match kind {
        "has-one-thread" => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap(),
        _ => runtime(),
    };
    let served = runtime.block_on(server.serve(services));
    match served {
        Ok(()) if kind == "stays" => for_ever(),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

struct Base {
    leaves_out: bool,
}

#[async_trait]
impl BasePlugin for Base {
    async fn plugin_info(
        &self,
        _: Request<PluginInfoRequest>,
    ) -> Result<Response<PluginInfoResponse>, Status> {
        Ok(Response::new(PluginInfoResponse {
            r#type: PluginType::Driver.into(),
            plugin_api_versions: vec!["v0.1.0".to_owned()],
            plugin_version: "0.1.0".to_owned(),
            name: "test".to_owned(),
        }))
    }

    async fn config_schema(
        &self,
        _: Request<ConfigSchemaRequest>,
    ) -> Result<Response<ConfigSchemaResponse>, Status> {
        let spec = Spec::object([
            (
                "enabled",
                Spec::optional("enabled", Type::Bool).or(true.into()),
            ),
            ("name", Spec::required("name", Type::String)),
        ]);
        let spec = (!self.leaves_out).then(|| spec.to_proto());
        Ok(Response::new(ConfigSchemaResponse { spec }))
    }

    async fn set_config(
        &self,
        request: Request<SetConfigRequest>,
    ) -> Result<Response<SetConfigResponse>, Status> {
        let config = plugin::msgpack::decode(&request.into_inner().msgpack_config)
            .map_err(|error| failure::plain(error.to_string()))?;
        if config.to_json()["name"] != "web" {
            return Err(failure::recoverable(&config.to_json().to_string(), false));
        }
        Ok(Response::new(SetConfigResponse {}))
    }
}

/// A log collector whose log folder says what it does.
struct Collector {
    log: Log,
    stopped: Arc<Notify>,
}

#[async_trait]
impl LogMon for Collector {
    async fn start(
        &self,
        request: Request<StartRequest>,
    ) -> Result<Response<StartResponse>, Status> {
        let deadline = request.metadata().get("grpc-timeout");
        let deadline = deadline.map(|text| text.to_str().unwrap().to_owned());
        let request = request.into_inner();
        match request.log_dir.as_str() {
            "dies" => {
                self.log.write(Level::Error, "last words", []);
                std::process::exit(9);
            }
            "tells-the-deadline" => {
                let deadline = deadline.unwrap_or_default();
                return Err(failure::plain(deadline));
            }
            "waits" => tokio::time::sleep(Duration::from_secs(3600)).await,
            "says" => {
                let task = request.stdout_file_name.into();
                self.log.write(Level::Info, "started", [("task", task)]);
                say(&"o".repeat(1500));
                drop(io::stderr().write_all(b"[WARN] on standard error\n"));
            }
            "logs" => {
                let text = "x".repeat(500).into();
                self.log.write(Level::Info, "a line", [("text", text)]);
            }
            "logs-more-than-a-pipe-takes-at-once" => {
                let text = "\n".repeat(100_000).into();
                self.log.write(Level::Warn, "a long line", [("text", text)]);
            }
            "says-more" => say(&"o".repeat(1 << 20)),
            "says-much" => say(&"o".repeat(60_000)),
            "" => return Err(failure::recoverable("no folder", true)),
            _ => {}
        }
        Ok(Response::new(StartResponse {}))
    }

    async fn stop(&self, _: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        self.stopped.notify_one();
        Ok(Response::new(StopResponse {}))
    }
}
