//! Certificates as text (core): in PEM the host's, in the environment; in base64 the plugin's, in the
//! handshake.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::server::ParsedCertificate;

use crate::handshake::CertificateError;
use crate::shown::shown;

/// A certificate, in DER.
pub(crate) type Certificate = CertificateDer<'static>;

/// Characters of a line of PEM, see RFC 7468.
const PEM_LINE: usize = 64;

/// Reads PEM with exactly one certificate; sections of other kinds do not count.
pub(crate) fn from_pem(text: &str) -> Result<Certificate, CertificateError> {
    let all: Vec<_> = Certificate::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateError::Pem(reason(&error)))?;
    match <[_; 1]>::try_from(all) {
        Ok([one]) => understood(one),
        Err(all) => Err(CertificateError::Count {
            found: all.len(),
            text: shown(text.as_bytes()),
        }),
    }
}

/// Gives PEM, with a newline at its end.
pub(crate) fn to_pem(certificate: &Certificate) -> String {
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = STANDARD.encode(certificate);
    while !rest.is_empty() {
        let tail = rest.split_off(rest.len().min(PEM_LINE));
        pem.push_str(&rest);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// Reads what stands in the handshake.
pub(crate) fn from_field(text: &str) -> Result<Certificate, CertificateError> {
    let bytes = STANDARD_NO_PAD
        .decode(text)
        .map_err(|error| CertificateError::Base64 {
            reason: error.to_string().trim_end_matches('.').to_owned(),
            text: shown(text.as_bytes()),
        })?;
    understood(Certificate::from(bytes))
}

/// Gives what stands in the handshake.
pub(crate) fn to_field(certificate: &Certificate) -> String {
    STANDARD_NO_PAD.encode(certificate)
}

/// A certificate that cannot be read has no key to check a signature with.
fn understood(certificate: Certificate) -> Result<Certificate, CertificateError> {
    match ParsedCertificate::try_from(&certificate) {
        Ok(_) => Ok(certificate),
        Err(_) => Err(CertificateError::Certificate {
            bytes: certificate.len(),
        }),
    }
}

/// The library's own words show bytes as numbers.
fn reason(error: &pem::Error) -> String {
    if let pem::Error::MissingSectionEnd { end_marker } = error {
        return format!("nothing ends the section {}", shown(end_marker));
    }
    if let pem::Error::IllegalSectionStart { line } = error {
        return format!("a section begins with {}", shown(line));
    }
    error.to_string()
}
