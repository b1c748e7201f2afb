//! Encrypted connections (edge; this file only re-exports). Both sides show a certificate that they made for
//! this process alone, and take exactly the one that the other told before: no authority, no name and no
//! date decides.

mod nist_p521;
mod own;
mod pin;
mod sides;
mod text;

pub(crate) use own::Own;
pub(crate) use pin::is_another_certificate;
pub(crate) use sides::{acceptor, connector, server_name};
pub(crate) use text::{from_field, from_pem, to_field, to_pem};

#[cfg(test)]
mod tests;
