//! Encrypted connections: ours with each other, with a host of another kind, and whoever is refused.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use plugin::handshake::Address;
use plugin::host::{Deadlines, HostError, Manner, Said};
use plugin::proto::logmon::StartRequest;
use plugin::reattach::Reattach;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::serving::{DATA, PREFACE, SETTINGS, call, failure, frame, frames, plugin, started};
use crate::stage::{Stage, deadlines, trials};

trials![
    a_plugin_of_ours_serves_a_host_of_ours,
    a_plugin_serves_the_host_that_it_was_told_of_and_nobody_else,
    what_is_no_certificate_is_told_with_its_variable,
    a_plugin_that_answers_without_a_certificate_is_refused,
    a_plugin_whose_certificate_is_none_is_refused,
    a_plugin_that_shows_another_certificate_than_it_told_is_refused,
    a_plugin_that_never_shakes_hands_has_a_deadline,
    a_plugin_that_speaks_tls_is_not_found_again,
];

/// A certificate with its key, made apart from the library's own.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der().into(),
        }
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key().into()
    }

    pub(crate) fn in_handshake(&self) -> String {
        STANDARD_NO_PAD.encode(&self.certificate)
    }

    fn in_pem(&self) -> String {
        let text = STANDARD.encode(&self.certificate);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }
}

/// A plugin that was started by hand.
struct ByHand {
    child: Child,
    socket: String,
    certificate: CertificateDer<'static>,
}

impl ByHand {
    fn start(stage: &Stage, host: &Identity) -> Self {
        let (child, line) = started(plugin(stage).env("PLUGIN_CLIENT_CERT", host.in_pem()));
        let fields: Vec<&str> = line.trim_end().split('|').collect();
        let [_, _, "unix", socket, "grpc", certificate] = fields.as_slice() else {
            panic!("{line}");
        };
        Self {
            child,
            socket: (*socket).to_owned(),
            certificate: STANDARD_NO_PAD.decode(certificate).unwrap().into(),
        }
    }

    /// Connects as somebody who goes by authorities and names, and waits for the first answer.
    async fn meet(
        &self,
        own: Option<&Identity>,
        speaks: &[u8],
    ) -> io::Result<TlsStream<UnixStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some(own) => config
                .with_client_auth_cert(vec![own.certificate.clone()], own.key())
                .unwrap(),
        };
        config.alpn_protocols = vec![speaks.to_vec()];
        let stream = UnixStream::connect(&self.socket).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        // In TLS 1.3 the host believes to be let in before it is, so it says nothing until it has heard something.
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        assert_eq!((head[0], head[1], head[3]), (0, 0, SETTINGS));
        let mut settings = vec![0; usize::from(head[2])];
        stream.read_exact(&mut settings).await?;
        stream.write_all(PREFACE).await?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
        Ok(stream)
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn a_plugin_of_ours_serves_a_host_of_ours() {
    let stage = Stage::new();
    let plugin = stage.launch("good").encrypted().start().await.unwrap();
    plugin.ping().await.unwrap();
    assert_eq!(plugin.base().plugin_info().await.unwrap().name, "test");
    let request = StartRequest {
        log_dir: "says".to_owned(),
        ..StartRequest::default()
    };
    plugin.log_mon().start(request).await.unwrap();
    let bytes = |said: &Said| match said {
        Said::Stdout(bytes) => bytes.len(),
        Said::Log(_) | Said::Stray(_) | Said::Stderr(_) => 0,
    };
    stage
        .hears(move |heard| heard.iter().map(bytes).sum::<usize>() == 1500)
        .await;
    let Address::Unix(path) = plugin.reattach().address.clone() else {
        panic!("no Unix socket");
    };
    drop(UnixStream::connect(&path).await.unwrap());
    let mut plain = UnixStream::connect(&path).await.unwrap();
    plain.write_all(PREFACE).await.unwrap();
    let turned_away = |said: &Said| match said {
        Said::Log(record) => record.message == "somebody is turned away",
        Said::Stdout(_) | Said::Stray(_) | Said::Stderr(_) => false,
    };
    let count = move |heard: &[Said]| heard.iter().filter(|said| turned_away(said)).count();
    stage.hears(move |heard| count(heard) > 0).await;
    let much = plugin
        .driver()
        .exec_task("a", vec!["much".to_owned()], crate::stage::LONG)
        .await;
    assert_eq!(much.unwrap().stdout.len(), 16 << 20);
    let ended = plugin.end().await.unwrap();
    assert_eq!(ended.manner, Manner::Asked);
    assert_eq!(stage.files(), [""; 0]);
    // Who only looks whether anybody is there is not worth a word.
    assert_eq!(count(&stage.heard.lock().unwrap()), 1);
}

async fn a_plugin_serves_the_host_that_it_was_told_of_and_nobody_else() {
    let stage = Stage::new();
    let host = Identity::new();
    let mut plugin = ByHand::start(&stage, &host);
    let refusal = async |own: Option<&Identity>, speaks: &[u8]| {
        let met = plugin.meet(own, speaks).await;
        met.err().map(|error| error.to_string())
    };
    let alert = |name: &str| Some(format!("received fatal alert: {name}"));
    assert_eq!(refusal(None, b"h2").await, alert("CertificateRequired"));
    let stranger = Identity::new();
    assert_eq!(refusal(Some(&stranger), b"h2").await, alert("AccessDenied"));
    let other = refusal(Some(&host), b"http/1.1").await;
    assert_eq!(other, alert("NoApplicationProtocol"));
    // Without TLS, and without a word.
    let mut plain = UnixStream::connect(&plugin.socket).await.unwrap();
    plain.write_all(PREFACE).await.unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer.first(), Some(&21), "an alert of TLS: {answer:?}");
    drop(UnixStream::connect(&plugin.socket).await.unwrap());
    let silent = UnixStream::connect(&plugin.socket).await.unwrap();

    let mut right = plugin.meet(Some(&host), b"h2").await.unwrap();
    assert_eq!(right.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let end = call(1, "/plugin.GRPCController/Shutdown");
    right.write_all(&end).await.unwrap();
    let mut answer = Vec::new();
    // It closes under a host that leaves its last ping unanswered.
    drop(right.read_to_end(&mut answer).await);
    let empty = (DATA, 0, 1, [0; 5].as_slice());
    assert!(frames(&answer).contains(&empty), "{answer:?}");
    assert_eq!(plugin.child.wait().unwrap().code(), Some(0));
    assert_eq!(stage.files(), [""; 0]);
    drop(silent);
}

async fn what_is_no_certificate_is_told_with_its_variable() {
    let stage = Stage::new();
    let said =
        |value: &[u8]| failure(plugin(&stage).env("PLUGIN_CLIENT_CERT", OsStr::from_bytes(value)));
    let start = "[ERROR] failed to use PLUGIN_CLIENT_CERT as the certificate of the host: ";
    assert_eq!(
        said(b"a host"),
        format!("{start}find one certificate in PEM, there are 0: \"a host\"\n")
    );
    let text = said(b"\xff");
    assert!(text.starts_with(start), "{text}");
    let pem = Identity::new().in_pem().replace("MII", "MIM");
    let text = said(pem.as_bytes());
    assert!(text.starts_with(start), "{text}");
    assert!(text.ends_with("as a certificate of X.509\n"), "{text}");
    assert_eq!(stage.files(), [""; 0]);
}

async fn refused(kind: &str, deadlines: Deadlines) -> HostError {
    let stage = Stage::new();
    let start = stage.launch(kind).deadlines(deadlines).encrypted().start();
    match start.await {
        Ok(_) => panic!("{kind} is believed"),
        Err(error) => {
            assert_eq!(stage.files(), [""; 0], "the socket of {kind}");
            error
        }
    }
}

async fn a_plugin_that_answers_without_a_certificate_is_refused() {
    for kind in ["no-socket", "deaf"] {
        let error = refused(kind, deadlines()).await;
        assert_eq!(
            error.to_string(),
            "shake hands: TLS was asked for, and the plugin answered without a certificate"
        );
    }
}

async fn a_plugin_whose_certificate_is_none_is_refused() {
    for (kind, reason) in [
        ("tells-no-base64", "read it as base64 without padding: "),
        ("tells-no-certificate", "understand its 60 bytes as a"),
    ] {
        let error = refused(kind, deadlines()).await;
        assert_eq!(
            error.to_string(),
            "use the sixth field of the handshake as the plugin's certificate"
        );
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.starts_with(reason), "{source}");
    }
}

async fn a_plugin_that_shows_another_certificate_than_it_told_is_refused() {
    let error = refused("shows-another-certificate", deadlines()).await;
    assert!(
        matches!(&error, HostError::AnotherCertificate { path } if path.ends_with("plugin-by-hand")),
        "{error}"
    );
    let text = error.to_string();
    let end = ": another certificate is shown there than the handshake told";
    assert!(
        text.starts_with("speak TLS on /") && text.ends_with(end),
        "{text}"
    );
}

async fn a_plugin_that_never_shakes_hands_has_a_deadline() {
    let short = Deadlines {
        connect: Duration::from_millis(100),
        ..deadlines()
    };
    for (kind, deadlines) in [
        ("tells-a-certificate-and-hangs-up", deadlines()),
        ("tells-a-certificate-and-is-deaf", short),
    ] {
        let error = refused(kind, deadlines).await;
        assert!(matches!(error, HostError::Encrypt { .. }), "{error}");
    }
}

async fn a_plugin_that_speaks_tls_is_not_found_again() {
    let stage = Stage::new();
    let plugin = stage.launch("good").encrypted().start().await.unwrap();
    let error = Reattach::parse(&plugin.saved().reattach).unwrap_err();
    assert_eq!(
        error.to_string(),
        "find a plugin again that speaks TLS: its certificate stood in the handshake alone"
    );
    plugin.ping().await.unwrap();
}
