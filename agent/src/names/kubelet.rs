//! The kubelet's list of pods, `https://<node>:10250/pods`, for whom RBAC allows `nodes/pods`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    header::{AUTHORIZATION, HeaderValue},
};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde::Deserialize;

use super::{
    facts::Facts,
    objects,
    proto::core,
    source::{Error, Source, bytes},
};

/// A kubelet that takes longer is not asked again until the next round.
const PATIENCE: Duration = Duration::from_secs(10);
/// Hundreds of pods with a few tens of kilobytes each.
const LONGEST: usize = 64 << 20;

/// How to reach a kubelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeletAccess {
    /// `https://<node>:10250`; other schemes would show the token to the network.
    pub url: String,
    /// The token of a service account. It is read anew each time, for it changes.
    pub token_file: PathBuf,
    /// Who must have signed the kubelet's certificate.
    pub authority_file: PathBuf,
}

/// The kubelet's `/pods`.
pub struct Kubelet(KubeletAccess);

#[derive(Deserialize)]
struct PodList {
    /// `null` on a node without pods.
    items: Option<Vec<core::Pod>>,
}

impl KubeletAccess {
    /// With the service account of the pod that this runs in; what is wrong with a URL that is none.
    pub fn in_cluster(url: String) -> Result<KubeletAccess, String> {
        if url.strip_prefix("https://").is_none_or(str::is_empty) {
            return Err(format!("`{url}` is no address of a kubelet"));
        }
        let account = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
        Ok(KubeletAccess {
            url,
            token_file: account.join("token"),
            authority_file: account.join("ca.crt"),
        })
    }
}

impl Kubelet {
    /// Nothing is asked before the first reading.
    pub fn new(access: KubeletAccess) -> Kubelet {
        Kubelet(access)
    }
}

impl Source for Kubelet {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn read(&mut self) -> Result<Facts, Error> {
        let token = present(&self.0.token_file)?;
        let request = request(&self.0.url, &token)?;
        let tls = tls(&self.0.authority_file)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Failed(format!("cannot wait for an answer: {error}")))?;
        let body = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, ask(request, tls)).await })
            .map_err(|_| {
                let patience = PATIENCE.as_secs();
                Error::Failed(format!("the kubelet did not answer within {patience} s"))
            })??;
        facts(&body)
    }
}

/// What an answer tells.
pub(super) fn facts(body: &[u8]) -> Result<Facts, Error> {
    let pods: PodList = serde_json::from_slice(body).map_err(|error| {
        Error::Failed(format!("the kubelet's answer is no list of pods: {error}"))
    })?;
    Ok(objects::facts(&pods.items.unwrap_or_default()))
}

/// It was asked for, so a file that is missing is a failure.
fn present(path: &Path) -> Result<Vec<u8>, Error> {
    bytes(path).map_err(|error| match error {
        Error::Absent => Error::Failed(format!("{} does not exist", path.display())),
        Error::Failed(_) => error,
    })
}

fn request(url: &str, token: &[u8]) -> Result<Request<Empty<Bytes>>, Error> {
    let bearer = [b"Bearer ", token.trim_ascii()].concat();
    let mut bearer = HeaderValue::from_bytes(&bearer)
        .map_err(|_| Error::Failed("the token holds characters that no token has".into()))?;
    bearer.set_sensitive(true);
    Request::get(format!("{}/pods", url.trim_end_matches('/')))
        .header(AUTHORIZATION, bearer)
        .body(Empty::new())
        .map_err(|error| Error::Failed(format!("{url} is no address: {error}")))
}

fn tls(authority: &Path) -> Result<ClientConfig, Error> {
    let failed = |why: String| Error::Failed(format!("{}: {why}", authority.display()));
    let pem = present(authority)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("no certificate in it".into()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

async fn ask(request: Request<Empty<Bytes>>, tls: ClientConfig) -> Result<Bytes, Error> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let reply = client
        .request(request)
        .await
        .map_err(|error| Error::Failed(format!("cannot ask the kubelet: {}", chain(&error))))?;
    match reply.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(Error::Failed(format!(
                "the kubelet refused ({}): allow this service account to get nodes/pods",
                reply.status()
            )));
        }
        status => return Err(Error::Failed(format!("the kubelet answered {status}"))),
    }
    let body = Limited::new(reply.into_body(), LONGEST).collect().await;
    let body =
        body.map_err(|error| Error::Failed(format!("the kubelet's answer broke off: {error}")))?;
    Ok(body.to_bytes())
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
