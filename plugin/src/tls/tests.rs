//! Tests of encryption: certificates as text, fixed signatures, and whole handshakes between both sides.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use p521::ecdsa::signature::Signer as _;
use p521::ecdsa::{Signature, SigningKey};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, Signer, SingleCertAndKey};
use rustls::{
    ClientConfig, Error, RootCertStore, ServerConfig, SignatureAlgorithm, SignatureScheme,
    SupportedProtocolVersion, version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::pin::Pin;
use super::text::Certificate;
use super::*;

/// A certificate as the original makes it, with a key of P-521, made by another library.
const CERTIFICATE: &str = "\
    MIICHDCCAX2gAwIBAgICEmcwCgYIKoZIzj0EAwQwJTESMBAGA1UEAwwJbG9jYWxob3N0MQ8wDQYDVQQKDAZBIGhvc3\
    QwIBcNMjYwMTAxMDAwMDAwWhgPMjA1NjAxMDEwMDAwMDBaMCUxEjAQBgNVBAMMCWxvY2FsaG9zdDEPMA0GA1UECgwG\
    QSBob3N0MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAHvmrBpnURlRsUJWhhH+yDm+uWxFJGq0hT7IW8jsAbChEf2\
    qCLwrafs1XGCSMbStc8I8kqOsMkzH0ygUrA84snekB/V6DzQdwv862+g/BXrc+uti0ec0gj16TOyM97+Hd/VoNGZU5\
    EGA5EVkgKn4L2q3Dkz5gqIJrCtdXoXLqJa4/9X2jWDBWMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgKsMB\
    0GA1UdJQQWMBQGCCsGAQUFBwMCBggrBgEFBQcDATAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwQDgYwA\
    MIGIAkIAms8zWD1IxWN9mfNcitmv3ATGPbfagcrDNuOjgO/uHH6ECk62jyo7PJ1ChBpQRpDkJZeMsr4M4i44g30gQE\
    XzKkgCQgGtFrMr48eyfhuBF8qvnKENOU6xPXsare6H0oX/BoBN83aEHBRjbt8POUaZxUuTbYAa0eFlqcxWKyemM6T2\
    B0HVyQ";

/// Its key.
const KEY: &str = "\
    ATLmG+LoIlDx+kEQD/ujvbWQ2dYSzo0Bx23Yr9MhdDPgp1JUedHfXmcY5hamlhtTkcF730zmfYB2QMh35rVty1+d";

/// The public half of it.
const PUBLIC_KEY: &str = "\
    BAAe+asGmdRGVGxQlaGEf7IOb65bEUkarSFPshbyOwBsKER/aoIvCtp+zVcYJIxtK1zwjySo6wyTMfTKBSsDziyd6Q\
    H9XoPNB3C/zrb6D8Fetz662LR5zSCPXpM7Iz3v4d39Wg0ZlTkQYDkRWSAqfgvarcOTPmCogmsK11ehcuolrj/1fQ";

/// What the command `openssl dgst -sha512 -sign` made of [`MESSAGE`] with it.
const SIGNATURE: &str = "\
    MIGIAkIAhPM9sn3ceUk9Ymopy8C6RRMu8ej2O0ngnqPkgirVwZkvq89wUL0zQrLGEVPx9tD7g62UDJtRroM6LHAma8\
    LLzuECQgE28MUiYb+WuWl0hJsle2hp0gjxBJdoo5pttu2xXolRzSpxQVnhA/L7i4RbPMblYsxoUtMEhN+cZNm2yb+V\
    NipjCw";

const MESSAGE: &[u8] = b"a message";

fn bytes(text: &str) -> Vec<u8> {
    STANDARD_NO_PAD.decode(text).unwrap()
}

fn certificate() -> Certificate {
    from_field(CERTIFICATE).unwrap()
}

#[test]
fn a_certificate_stays_the_same_in_pem_and_in_the_handshake() {
    for one in [certificate(), Own::make().unwrap().certificate] {
        assert_eq!(from_pem(&to_pem(&one)), Ok(one.clone()));
        assert_eq!(from_field(&to_field(&one)), Ok(one.clone()));
        assert!(!to_field(&one).contains('='));
        // Variables have no newline at their end, keys may stand beside, and Windows writes more.
        let pem = to_pem(&one);
        assert!(pem.lines().all(|line| line.len() <= 64), "{pem}");
        assert_eq!(from_pem(pem.trim_end()), Ok(one.clone()));
        assert_eq!(from_pem(&pem.replace('\n', "\r\n")), Ok(one.clone()));
        let key = "-----BEGIN EC PARAMETERS-----\nBgUrgQQAIw==\n-----END EC PARAMETERS-----\n";
        assert_eq!(from_pem(&format!("{key}{pem}")), Ok(one));
    }
    assert_eq!(to_field(&certificate()), CERTIFICATE);
}

#[test]
fn a_text_that_is_no_certificate_is_told_why() {
    let message = |text: &str| from_pem(text).unwrap_err().to_string();
    let pem = to_pem(&certificate());
    assert_eq!(
        message("a host"),
        "find one certificate in PEM, there are 0: \"a host\""
    );
    let two = message(&pem.repeat(2));
    assert!(
        two.starts_with("find one certificate in PEM, there are 2: \"-----BEGIN"),
        "{two}"
    );
    assert!(two.len() < 300, "{two}");
    assert_eq!(
        message("-----BEGIN CERTIFICATE-----\nMIIC"),
        "read it as PEM: nothing ends the section \"CERTIFICATE\""
    );
    assert_eq!(
        message("-----BEGIN CERTIFICATE\n"),
        "read it as PEM: a section begins with \"-----BEGIN CERTIFICATE\""
    );
    let broken = message(&pem.replace("MII", "M!I"));
    assert!(broken.starts_with("read it as PEM: base64"), "{broken}");
    let short = "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n";
    assert_eq!(
        message(short),
        "understand its 3 bytes as a certificate of X.509"
    );
}

#[test]
fn a_field_of_the_handshake_that_is_no_certificate_is_told_why() {
    let message = |text: &str| from_field(text).unwrap_err().to_string();
    let start = "read it as base64 without padding: ";
    for text in [&format!("{CERTIFICATE}=="), "a b", "MII-"] {
        assert!(message(text).starts_with(start), "{}", message(text));
    }
    assert!(message("a\u{1b}b").ends_with(r#": "a\u{1b}b""#));
    assert_eq!(
        message(&"A".repeat(80)),
        "understand its 60 bytes as a certificate of X.509"
    );
    let cut = &bytes(CERTIFICATE)[..541];
    assert_eq!(
        message(&STANDARD_NO_PAD.encode(cut)),
        "understand its 541 bytes as a certificate of X.509"
    );
}

#[test]
fn whoever_goes_by_authorities_names_and_dates_takes_ours_too() {
    let own = Own::make().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.certificate.clone()).unwrap();
    let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
    let servers =
        WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let (servers, clients) = (servers.build().unwrap(), clients.build().unwrap());
    let now = UnixTime::now();
    servers
        .verify_server_cert(&own.certificate, &[], &server_name(), &[], now)
        .unwrap();
    clients
        .verify_client_cert(&own.certificate, &[], now)
        .unwrap();
    assert_ne!(own.certificate, Own::make().unwrap().certificate);
}

#[test]
fn a_known_signature_of_p_521_is_right_and_no_flipped_bit_of_it_is() {
    let [algorithm] = nist_p521::ALGORITHMS.all else {
        panic!("there are more");
    };
    let (key, signature) = (bytes(PUBLIC_KEY), bytes(SIGNATURE));
    algorithm
        .verify_signature(&key, MESSAGE, &signature)
        .unwrap();
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    // In its frame, in both its numbers, and at their ends.
    for at in [0, 3, 40, 71, 100, signature.len() - 1] {
        let wrong = flipped(&signature, at);
        let result = algorithm.verify_signature(&key, MESSAGE, &wrong);
        assert!(result.is_err(), "bit of byte {at}");
    }
    let cases: [(&[u8], &[u8], &[u8]); 6] = [
        (&key, &flipped(MESSAGE, 0), &signature),
        (&flipped(&key, 132), MESSAGE, &signature),
        (&key[..132], MESSAGE, &signature),
        (&[], MESSAGE, &signature),
        (&key, MESSAGE, &[]),
        (&key, MESSAGE, &signature[..signature.len() - 1]),
    ];
    for (key, message, signature) in cases {
        let result = algorithm.verify_signature(key, message, signature);
        assert!(result.is_err(), "{} {}", key.len(), signature.len());
    }
}

/// Signs as the original does, which *ring* cannot.
#[derive(Debug, Clone)]
struct P521Key(SigningKey);

impl P521Key {
    /// The key of the certificate, or that of a thief who has the certificate alone.
    fn new(is_right: bool) -> Self {
        let mut key = bytes(KEY);
        key[65] ^= u8::from(!is_right);
        Self(SigningKey::from_slice(&key).unwrap())
    }

    fn certified(self) -> Arc<SingleCertAndKey> {
        let certified = CertifiedKey::new(vec![certificate()], Arc::new(self));
        Arc::new(SingleCertAndKey::from(certified))
    }
}

impl rustls::sign::SigningKey for P521Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&nist_p521::SCHEME)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: Signature = self.0.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        nist_p521::SCHEME
    }
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// A host with a key of P-521, of this version of TLS alone.
fn foreign_host(
    key: P521Key,
    plugin: Certificate,
    version: &'static SupportedProtocolVersion,
) -> TlsConnector {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pin::new(plugin)))
        .with_client_cert_resolver(key.certified());
    TlsConnector::from(Arc::new(config))
}

/// A plugin of the same kind.
fn foreign_plugin(
    key: P521Key,
    host: Certificate,
    version: &'static SupportedProtocolVersion,
) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Pin::new(host)))
        .with_cert_resolver(key.certified());
    TlsAcceptor::from(Arc::new(config))
}

/// Lets both speak with each other; gives what each says in the end.
fn meet(host: TlsConnector, plugin: TlsAcceptor) -> (Result<(), String>, Result<(), String>) {
    let (near, far) = duplex(1 << 16);
    let host = async {
        let mut stream = host.connect(server_name(), near).await?;
        stream.write_all(b"from the host").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        assert_eq!(answer, b"from the plugin");
        Ok(())
    };
    let plugin = async {
        let mut stream = plugin.accept(far).await?;
        let mut question = [0; 13];
        stream.read_exact(&mut question).await?;
        assert_eq!(&question, b"from the host");
        stream.write_all(b"from the plugin").await?;
        stream.shutdown().await
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (host, plugin) = runtime.block_on(async { tokio::join!(host, plugin) });
    let told = |end: std::io::Result<()>| end.map_err(|error| error.to_string());
    (told(host), told(plugin))
}

#[test]
fn both_sides_of_ours_speak_with_each_other() {
    let (host, plugin) = (Own::make().unwrap(), Own::make().unwrap());
    let (hosts, plugins) = (host.certificate.clone(), plugin.certificate.clone());
    let host = connector(host, plugins).unwrap();
    let plugin = acceptor(plugin, hosts).unwrap();
    assert_eq!(meet(host, plugin), (Ok(()), Ok(())));
}

#[test]
fn a_host_with_a_key_of_p_521_is_let_in_by_its_key_and_not_by_its_certificate() {
    for version in VERSIONS {
        let own = Own::make().unwrap();
        let ours = own.certificate.clone();
        let plugin = acceptor(own, certificate()).unwrap();
        let right = foreign_host(P521Key::new(true), ours.clone(), version);
        assert_eq!(meet(right, plugin.clone()), (Ok(()), Ok(())));
        let thief = foreign_host(P521Key::new(false), ours, version);
        let (_, end) = meet(thief, plugin);
        assert_eq!(
            end.unwrap_err(),
            "invalid peer certificate: BadSignature",
            "{version:?}"
        );
    }
}

#[test]
fn a_plugin_with_a_key_of_p_521_is_believed_by_its_key_and_not_by_its_certificate() {
    for version in VERSIONS {
        let end = |is_right| {
            let own = Own::make().unwrap();
            let ours = own.certificate.clone();
            let host = connector(own, certificate()).unwrap();
            meet(host, foreign_plugin(P521Key::new(is_right), ours, version))
        };
        assert_eq!(end(true), (Ok(()), Ok(())));
        assert_eq!(
            end(false).0.unwrap_err(),
            "invalid peer certificate: BadSignature",
            "{version:?}"
        );
    }
}

#[test]
fn another_certificate_than_the_one_that_was_told_is_refused_by_both_sides() {
    let own = || Own::make().unwrap();
    let refused = "invalid peer certificate: ApplicationVerificationFailure";
    let (host, plugin) = (own(), own());
    let (hosts, plugins) = (host.certificate.clone(), plugin.certificate.clone());
    let (_, end) = meet(
        connector(own(), plugins).unwrap(),
        acceptor(plugin, hosts.clone()).unwrap(),
    );
    assert_eq!(end.unwrap_err(), refused);
    let (end, _) = meet(
        connector(host, own().certificate).unwrap(),
        acceptor(own(), hosts).unwrap(),
    );
    assert_eq!(end.unwrap_err(), refused);
}

#[test]
fn a_host_without_a_certificate_is_refused() {
    let own = Own::make().unwrap();
    let host = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pin::new(own.certificate.clone())))
        .with_no_client_auth();
    let host = TlsConnector::from(Arc::new(host));
    let (_, end) = meet(host, acceptor(own, certificate()).unwrap());
    assert_eq!(end.unwrap_err(), "peer sent no certificates");
}
