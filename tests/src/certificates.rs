//! Certificates for one test: an authority, a receiver and an agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, crypto::ring};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use crate::sink::Protocol;

/// PEM files that go away with the test.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// An authority, and what it signed for `localhost` and for an agent.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut authority = CertificateParams::new(Vec::new()).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, key()).expect("an authority");
        let write = |name: &str, text: String| {
            fs::write(folder.path().join(name), text).expect("a folder of ours");
        };
        write("ca.pem", authority.pem());
        for name in ["receiver", "agent"] {
            let key = key();
            let params = CertificateParams::new(vec!["localhost".to_owned()]);
            let signed = params.expect("a name").signed_by(&key, &authority);
            write(&format!("{name}.pem"), signed.expect("a certificate").pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { folder }
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// For a receiver that wants to see a certificate of this authority.
    pub(crate) fn acceptor(&self, protocol: Protocol) -> TlsAcceptor {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        for root in chain(&self.path("ca.pem")) {
            roots.add(root).expect("an authority");
        }
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let key = PrivateKeyDer::from_pem_file(self.path("receiver.key")).expect("a key");
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_client_cert_verifier(clients.build().expect("a verifier"))
            .with_single_cert(chain(&self.path("receiver.pem")), key)
            .expect("a certificate and its key");
        config.alpn_protocols = match protocol {
            Protocol::Http => vec![b"http/1.1".to_vec()],
            Protocol::Grpc => vec![b"h2".to_vec()],
        };
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
    let certificates = CertificateDer::pem_file_iter(path).expect("a file of ours");
    certificates.map(|one| one.expect("PEM")).collect()
}
