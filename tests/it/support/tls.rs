//! [`Authority`]: a CA of the test's own; [`TlsServer`]: a redis-server with a certificate from it.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::id;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::redis::{RedisServer, free_port};

/// A CA.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, as PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a CA for tests");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for `name`, which is a host or an address.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.sign(&params(name))
    }

    /// The same, but it has expired.
    pub(crate) fn issue_expired(&self, name: &str) -> Issued {
        let mut params = params(name);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).expect("a host or an address")
}

/// A redis-server that speaks TLS at one port, and at another, for the test's own questions, plain text.
pub(crate) struct TlsServer {
    pub(crate) plain: RedisServer,
    port: u16,
    dir: PathBuf,
}

impl TlsServer {
    /// Starts a server that shows `certificate` and asks for no other.
    pub(crate) fn start(authority: &Authority, certificate: &Issued) -> Self {
        Self::start_with(authority, certificate, &["--tls-auth-clients", "no"])
    }

    /// Starts a server that talks only to clients with a certificate from `authority`, with further options.
    pub(crate) fn start_strict(authority: &Authority, certificate: &Issued, options: &[&str]) -> Self {
        let strict = [&["--tls-auth-clients", "yes"], options].concat();
        Self::start_with(authority, certificate, &strict)
    }

    fn start_with(authority: &Authority, certificate: &Issued, options: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("memolock-it-tls-{}-{count}", id()));
        fs::create_dir_all(&dir).expect("a folder for certificates");
        let file = |name: &str, pem: &str| write(&dir, name, pem);
        let ca = file("ca.pem", authority.pem());
        let certificate_file = file("server.pem", &certificate.certificate);
        let key_file = file("server.key", &certificate.key);
        let mut all = vec!["--tls-ca-cert-file", &ca];
        all.extend(["--tls-cert-file", &certificate_file, "--tls-key-file", &key_file]);
        all.extend(options);
        let port = Cell::new(0);
        let plain = RedisServer::start_as(|| {
            port.set(free_port());
            let own = ["--tls-port".to_owned(), port.get().to_string()];
            all.iter().map(ToString::to_string).chain(own).collect()
        });
        let port = port.get();
        Self { plain, port, dir }
    }

    /// The URL of the port where it speaks TLS.
    pub(crate) fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port)
    }

    /// Writes a file that lives as long as the server, and returns its path.
    pub(crate) fn file(&self, name: &str, pem: &str) -> String {
        write(&self.dir, name, pem)
    }
}

fn write(dir: &Path, name: &str, pem: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, pem).expect("a file for a certificate");
    path.to_str().expect("a path of UTF-8").to_owned()
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
