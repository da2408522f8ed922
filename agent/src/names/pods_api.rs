//! The kubelet's Pods API: gRPC on a Unix socket, open to root alone.

use std::{
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use prost::Message as _;
use tonic::transport::{Channel, Endpoint};

use super::{
    facts::Facts,
    objects,
    proto::{
        core,
        pods::{ListPodsRequest, pods_client::PodsClient},
    },
    source::{Error, Source},
};

/// A kubelet that takes longer is not asked again until the next round.
const PATIENCE: Duration = Duration::from_secs(5);
/// Some hundreds of pods with a few kilobytes each.
const LONGEST: usize = 64 << 20;
/// The socket of the kubelet.
pub struct PodsApi {
    socket: PathBuf,
    patience: Duration,
}

impl PodsApi {
    /// `/var/lib/kubelet/pods-api/pods-api.sock` on a host.
    pub fn new(socket: &Path) -> PodsApi {
        PodsApi {
            socket: socket.to_owned(),
            patience: PATIENCE,
        }
    }

    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Duration) -> PodsApi {
        PodsApi { patience, ..self }
    }
}

impl Source for PodsApi {
    fn name(&self) -> &'static str {
        "pods_api"
    }

    fn read(&mut self) -> Result<Facts, Error> {
        let kind = self
            .socket
            .metadata()
            .map_err(|error| Error::of(&self.socket, &error))?;
        if !kind.file_type().is_socket() {
            return Err(Error::Failed(format!(
                "{} is no socket",
                self.socket.display()
            )));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Failed(format!("cannot wait for an answer: {error}")))?;
        let listed = runtime
            .block_on(async { tokio::time::timeout(self.patience, list(&self.socket)).await });
        let pods = listed.map_err(|_| {
            let patience = self.patience.as_secs_f64();
            Error::Failed(format!("the kubelet did not answer within {patience} s"))
        })??;
        Ok(objects::facts(&pods))
    }
}

async fn list(socket: &Path) -> Result<Vec<core::Pod>, Error> {
    let client = PodsClient::new(connect(socket).await?);
    let reply = client
        .max_decoding_message_size(LONGEST)
        .list_pods(ListPodsRequest {})
        .await
        .map_err(|status| {
            let (code, message) = (status.code(), status.message());
            Error::Failed(format!("the kubelet refused: {code:?}: {message}"))
        })?;
    pods(&reply.into_inner().pods)
}

/// The pods of an answer. One that cannot be read does not take the names of the others.
pub(super) fn pods(pods: &[Vec<u8>]) -> Result<Vec<core::Pod>, Error> {
    let total = pods.len();
    let pods: Vec<_> = pods
        .iter()
        .filter_map(|bytes| core::Pod::decode(bytes.as_slice()).ok())
        .collect();
    if pods.is_empty() && total > 0 {
        return Err(Error::Failed("what the kubelet sends is no pod".into()));
    }
    Ok(pods)
}

async fn connect(socket: &Path) -> Result<Channel, Error> {
    let failed = |error: tonic::transport::Error| {
        let cause =
            std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
        Error::Failed(format!(
            "cannot connect to {}: {error}{cause}",
            socket.display()
        ))
    };
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(failed)?;
    endpoint.connect().await.map_err(failed)
}
