//! Certificates, and connectors that use them.

use std::path::Path;

use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::TransportError;
use crate::config::{Target, TlsFiles};

/// For HTTP/1.1.
pub(super) fn http1(target: &Target) -> Result<HttpsConnector<HttpConnector>, TransportError> {
    let builder =
        HttpsConnectorBuilder::new().with_tls_config(config(&target.tls, is_tls(target))?);
    Ok(builder.https_or_http().enable_http1().build())
}

/// For HTTP/2.
pub(super) fn http2(target: &Target) -> Result<HttpsConnector<HttpConnector>, TransportError> {
    let builder =
        HttpsConnectorBuilder::new().with_tls_config(config(&target.tls, is_tls(target))?);
    Ok(builder.https_or_http().enable_http2().build())
}

fn is_tls(target: &Target) -> bool {
    target.uri.scheme_str() == Some("https")
}

fn config(files: &TlsFiles, is_used: bool) -> Result<ClientConfig, TransportError> {
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?;
    let builder = match &files.ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None if is_used => builder.with_native_roots()?,
        // A host without certificates can talk without TLS.
        None => builder.with_root_certificates(RootCertStore::empty()),
    };
    let Some((certificate, key)) = &files.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    Ok(builder.with_client_auth_cert(certificates(certificate)?, key)?)
}

fn roots(path: &Path) -> Result<RootCertStore, TransportError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(path, &error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let all: Vec<_> = all.map_err(|error| unusable(path, &error))?;
    if all.is_empty() {
        return Err(unusable(path, &"it holds no certificate"));
    }
    Ok(all)
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> TransportError {
    TransportError::File {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}
