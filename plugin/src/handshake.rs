//! What host and plugin say to each other before the first call (core): the environment that the host
//! gives, and the one line that the plugin answers on its standard output.
//!
//! # The line
//! ```text
//! 1|2|unix|/tmp/plugin123|grpc||false
//! │ │ │    │             │    │ └ calls share one connection; only if the host asked
//! │ │ │    │             │    └ certificate of the server, DER in base64 without padding, or empty
//! │ │ │    │             └ protocol of the calls; "netrpc" if left out
//! │ │ │    └ address
//! │ │ └ network of the address: unix or tcp
//! │ └ version of the services
//! └ version of this line
//! ```

use std::path::PathBuf;

use crate::shown::shown;

/// The variable that tells a plugin that a host started it.
pub const COOKIE_NAME: &str = "NOMAD_PLUGIN_MAGIC_COOKIE";
/// What stands in [`COOKIE_NAME`].
pub const COOKIE_VALUE: &str = "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255";
/// The versions of the services that the host speaks, with commas between them.
pub const PROTOCOL_VERSIONS: &str = "PLUGIN_PROTOCOL_VERSIONS";
/// The lowest port that a plugin may listen on.
pub const MIN_PORT: &str = "PLUGIN_MIN_PORT";
/// The highest port that a plugin may listen on.
pub const MAX_PORT: &str = "PLUGIN_MAX_PORT";
/// The certificate of the host, in PEM, if calls are to be encrypted.
pub const CLIENT_CERT: &str = "PLUGIN_CLIENT_CERT";
/// Not empty if the host wants to hear whether calls share one connection.
pub const MULTIPLEX_GRPC: &str = "PLUGIN_MULTIPLEX_GRPC";
/// The folder that the socket goes to.
pub const SOCKET_DIR: &str = "PLUGIN_UNIX_SOCKET_DIR";

/// The version of the line itself.
pub const CORE_VERSION: u32 = 1;
/// The version of Nomad's services.
pub const APP_VERSION: u32 = 2;

/// The ports that Nomad gives to plugins, lowest and highest.
pub const PORTS: (u16, u16) = (10_000, 25_000);

/// A line longer than this many bytes is no handshake.
pub const MAX_LINE_BYTES: usize = 8192;

/// What the environment of a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Versions of the services that the host speaks. Empty if it does not say.
    pub versions: Vec<u32>,
    /// The host wants the seventh field of the line.
    pub asks_for_multiplexing: bool,
    /// The certificate of the host, in PEM.
    pub client_cert: Option<String>,
    /// Lowest and highest port, if both are told.
    pub ports: Option<(u16, u16)>,
    /// Where the socket goes: the folder that the host names, or the one for temporary files.
    pub socket_dir: PathBuf,
}

/// Why a process is not being started as a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotInvited {
    /// The cookie is missing: a person started the program.
    #[error("find {COOKIE_NAME} in the environment")]
    NoCookie,
    /// The cookie is another one: a host of something else started the program.
    #[error("accept what {COOKIE_NAME} holds: {0}")]
    WrongCookie(String),
    /// A variable cannot be read.
    #[error("understand {name}={value} in the environment: {wanted} is expected")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What stands there, shortened.
        value: String,
        /// What should.
        wanted: &'static str,
    },
}

impl NotInvited {
    /// Gives three lines for a person who reads a terminal, each with its newline.
    #[must_use]
    pub fn explanation(&self) -> String {
        format!(
            "This program is a plugin: it is started by Nomad or by another host, not by hand.\n\
             It could not {self}.\n\
             To use it, name it in the configuration of the host.\n"
        )
    }
}

impl Invitation {
    /// Reads the environment; `variable` gives the value of a name, or nothing if it is not set.
    /// An empty value is as good as none.
    ///
    /// # Errors
    /// [`NotInvited`], if the cookie is missing or another one, or a variable makes no sense.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, NotInvited> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        match variable(COOKIE_NAME) {
            None => return Err(NotInvited::NoCookie),
            Some(cookie) if cookie != COOKIE_VALUE => {
                return Err(NotInvited::WrongCookie(shown(cookie.as_bytes())));
            }
            Some(_) => {}
        }
        let port = |name| read_one(name, variable(name), "a port, 1 to 65535");
        let ports = port(MIN_PORT)?.zip(port(MAX_PORT)?);
        let versions = variable(PROTOCOL_VERSIONS)
            .map(|list| {
                list.split(',')
                    .map(|one| read_one(PROTOCOL_VERSIONS, Some(one.to_owned()), "2, or 1,2"))
                    .collect::<Result<Vec<_>, _>>()
            })
            .transpose()?
            .unwrap_or_default();
        Ok(Self {
            versions: versions.into_iter().flatten().collect(),
            asks_for_multiplexing: variable(MULTIPLEX_GRPC).is_some(),
            client_cert: variable(CLIENT_CERT),
            ports,
            socket_dir: variable(SOCKET_DIR)
                .or_else(|| variable("TMPDIR"))
                .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from),
        })
    }

    /// Says whether the host speaks this version, as far as it tells.
    #[must_use]
    pub fn speaks(&self, version: u32) -> bool {
        self.versions.is_empty() || self.versions.contains(&version)
    }
}

fn read_one<T: std::str::FromStr>(
    name: &'static str,
    value: Option<String>,
    wanted: &'static str,
) -> Result<Option<T>, NotInvited> {
    value
        .map(|text| {
            text.trim().parse().map_err(|_| NotInvited::Variable {
                name,
                value: shown(text.as_bytes()),
                wanted,
            })
        })
        .transpose()
}

/// Gives the variables that a host sets for a plugin, by name.
#[must_use]
pub fn environment() -> [(&'static str, String); 4] {
    [
        (COOKIE_NAME, COOKIE_VALUE.to_owned()),
        (MIN_PORT, PORTS.0.to_string()),
        (MAX_PORT, PORTS.1.to_string()),
        (PROTOCOL_VERSIONS, APP_VERSION.to_string()),
    ]
}

/// Where a plugin listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}

/// The line that a plugin answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The version of the services that the plugin chose.
    pub app_version: u32,
    /// Where it listens.
    pub address: Address,
    /// Its certificate, DER in base64 without padding.
    pub server_cert: Option<String>,
    /// Whether calls share one connection. Nothing if the plugin does not say, or not in a word for true or false:
    /// that is a fault only for a host that has asked.
    pub multiplexes: Option<bool>,
}

/// Why a line is no handshake. What stood there is shortened and printable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Nothing stands in the line.
    #[error("find a handshake in an empty line")]
    Empty,
    /// The line has more than [`MAX_LINE_BYTES`] bytes.
    #[error("read a handshake that is longer than {MAX_LINE_BYTES} bytes: {0}")]
    TooLong(String),
    /// The line is no UTF-8.
    #[error("read a handshake that is no UTF-8: {0}")]
    NotText(String),
    /// Fewer than four fields.
    #[error("find the four first fields of a handshake, there are {found}: {line}")]
    TooFewFields {
        /// How many there are.
        found: usize,
        /// The line.
        line: String,
    },
    /// The first field is no 1.
    #[error("understand version {found} of the handshake, only {CORE_VERSION} is known: {line}")]
    CoreVersion {
        /// What stands there.
        found: String,
        /// The line.
        line: String,
    },
    /// The second field is no version that was asked for.
    #[error("use version {found} of the plugin's services, only {APP_VERSION} is known: {line}")]
    AppVersion {
        /// What stands there.
        found: String,
        /// The line.
        line: String,
    },
    /// The third field is neither `unix` nor `tcp`.
    #[error("reach a plugin over the network {found}, only \"unix\" and \"tcp\" are known: {line}")]
    Network {
        /// What stands there.
        found: String,
        /// The line.
        line: String,
    },
    /// The fourth field is empty.
    #[error("find an address in the handshake: {0}")]
    NoAddress(String),
    /// The fifth field is not `grpc`; if it is missing, the plugin speaks the old `netrpc`.
    #[error("speak {found} with the plugin, only \"grpc\" is known: {line}")]
    Protocol {
        /// What stands there.
        found: String,
        /// The line.
        line: String,
    },
}

/// Why a text is no certificate. What stood there is shortened and printable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A section of PEM is broken.
    #[error("read it as PEM: {0}")]
    Pem(String),
    /// There is another number of certificates than one.
    #[error("find one certificate in PEM, there are {found}: {text}")]
    Count {
        /// How many there are.
        found: usize,
        /// The text.
        text: String,
    },
    /// The text is no base64 without padding.
    #[error("read it as base64 without padding: {reason}: {text}")]
    Base64 {
        /// Why.
        reason: String,
        /// The text.
        text: String,
    },
    /// The bytes are no certificate of X.509.
    #[error("understand its {bytes} bytes as a certificate of X.509")]
    Certificate {
        /// How many there are.
        bytes: usize,
    },
}

/// The sixth field is a certificate only if it is longer than this, as in the original.
const MIN_CERT_CHARS: usize = 50;

impl Line {
    /// Gives the line with its newline.
    #[must_use]
    pub fn format(&self) -> String {
        let (network, address) = match &self.address {
            Address::Unix(path) => ("unix", path.to_string_lossy().into_owned()),
            Address::Tcp(address) => ("tcp", address.clone()),
        };
        let cert = self.server_cert.as_deref().unwrap_or_default();
        let mut line = format!(
            "{CORE_VERSION}|{}|{network}|{address}|grpc|{cert}",
            self.app_version
        );
        if let Some(multiplexes) = self.multiplexes {
            line.push_str(&format!("|{multiplexes}"));
        }
        line.push('\n');
        line
    }

    /// Gives the Unix socket that a line names, whatever else is wrong about the line: a host that can't use the
    /// plugin can still remove what it leaves.
    #[must_use]
    pub fn socket(bytes: &[u8]) -> Option<PathBuf> {
        let mut fields = std::str::from_utf8(bytes).ok()?.trim().split('|').skip(2);
        match (fields.next()?, fields.next()?) {
            (_, "") => None,
            ("unix", path) => Some(PathBuf::from(path)),
            _ => None,
        }
    }

    /// Reads a line, with or without its newline; white space around it does not count.
    ///
    /// # Errors
    /// [`LineError`], which says what stood there.
    pub fn parse(bytes: &[u8]) -> Result<Self, LineError> {
        let line = shown(bytes.trim_ascii());
        if bytes.len() > MAX_LINE_BYTES {
            return Err(LineError::TooLong(line));
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(LineError::NotText(line));
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(LineError::Empty);
        }
        let fields: Vec<&str> = text.split('|').collect();
        let &[core, app, network, address, ref rest @ ..] = fields.as_slice() else {
            let found = fields.len();
            return Err(LineError::TooFewFields { found, line });
        };
        let quoted = |field: &str| shown(field.as_bytes());
        if core.parse() != Ok(CORE_VERSION) {
            let found = quoted(core);
            return Err(LineError::CoreVersion { found, line });
        }
        if app.parse() != Ok(APP_VERSION) {
            let found = quoted(app);
            return Err(LineError::AppVersion { found, line });
        }
        if !["unix", "tcp"].contains(&network) {
            let found = quoted(network);
            return Err(LineError::Network { found, line });
        }
        if address.is_empty() {
            return Err(LineError::NoAddress(line));
        }
        let protocol = rest.first().copied().unwrap_or("netrpc");
        if protocol != "grpc" {
            let found = quoted(protocol);
            return Err(LineError::Protocol { found, line });
        }
        // The words of Go's strconv.ParseBool.
        let multiplexes = match rest.get(2).copied() {
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Some(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Some(false),
            Some(_) | None => None,
        };
        Ok(Self {
            app_version: APP_VERSION,
            address: match network {
                "unix" => Address::Unix(PathBuf::from(address)),
                _ => Address::Tcp(address.to_owned()),
            },
            server_cert: rest
                .get(1)
                .filter(|cert| cert.len() > MIN_CERT_CHARS)
                .map(|&cert| cert.to_owned()),
            multiplexes,
        })
    }
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
