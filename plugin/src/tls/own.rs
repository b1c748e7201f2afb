//! The certificate of this process (edge: it needs entropy and the clock). Its key never leaves memory.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::text::Certificate;

/// The name that both sides have, as the original gives it.
pub(super) const NAME: &str = "localhost";

/// The clock of the other side may be a little behind.
const BEFORE: Duration = Duration::from_secs(60 * 60);

/// 30 years: a plugin must not outlive its certificate.
const AFTER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A certificate with its key.
pub(crate) struct Own {
    pub(crate) certificate: Certificate,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Own {
    /// Makes one, with a key of P-256.
    pub(crate) fn make() -> Result<Self, rcgen::Error> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = date_time_ymd(1970, 1, 1) + since.unwrap_or_default();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut wanted = CertificateParams::new([NAME.to_owned()])?;
        wanted.distinguished_name = DistinguishedName::new();
        wanted.distinguished_name.push(DnType::CommonName, NAME);
        wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        wanted.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        wanted.not_before = now - BEFORE;
        wanted.not_after = now + AFTER;
        Ok(Self {
            certificate: wanted.self_signed(&key)?.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }
}
