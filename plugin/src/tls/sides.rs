//! The two sides of an encrypted connection (core): HTTP/2 within TLS 1.3 or 1.2.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, Error, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::own::{NAME, Own};
use super::pin::Pin;
use super::text::Certificate;

/// What is spoken within, as both sides agree while they shake hands.
const HTTP_2: &[u8] = b"h2";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Gives the plugin's side, which lets in whoever has the host's certificate.
pub(crate) fn acceptor(own: Own, host: Certificate) -> Result<TlsAcceptor, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(Pin::new(host)))
        .with_single_cert(vec![own.certificate], own.key)?;
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    // A host has one connection, and shows its certificate for each.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Gives the host's side, which speaks with whoever has the plugin's certificate.
pub(crate) fn connector(own: Own, plugin: Certificate) -> Result<TlsConnector, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pin::new(plugin)))
        .with_client_auth_cert(vec![own.certificate], own.key)?;
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Gives the name that the host asks for.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("it is a name of DNS")
}
