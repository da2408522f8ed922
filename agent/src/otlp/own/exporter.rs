//! `opentelemetry-otlp` without a connection: what it would send is kept here.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, header::CONTENT_ENCODING};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, Protocol, RetryPolicy, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest, metrics::v1::ResourceMetrics,
};
use prost::Message as _;

use crate::config::Temporality;

/// Nothing is sent there, and no variable says otherwise.
const NOWHERE: &str = "http://localhost/v1/metrics";

/// Takes what is exported.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Vec<ResourceMetrics>>);

impl Inbox {
    /// What was exported since.
    pub(super) fn take(&self) -> Vec<ResourceMetrics> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An exporter into an inbox. Endpoint, protocol and retries are set here, for `OTEL_…` variables
/// are about receivers; headers reach nobody, and the library was built without compression.
pub(super) fn exporter(
    inbox: &Arc<Inbox>,
    temporality: Temporality,
) -> Result<MetricExporter, ExporterBuildError> {
    MetricExporter::builder()
        .with_temporality(sdk(temporality))
        .with_http()
        .with_http_client(Client(Arc::clone(inbox)))
        .with_endpoint(NOWHERE)
        .with_protocol(Protocol::HttpBinary)
        .with_retry_policy(RetryPolicy::disabled())
        .build()
}

fn sdk(temporality: Temporality) -> opentelemetry_sdk::metrics::Temporality {
    match temporality {
        Temporality::Cumulative => opentelemetry_sdk::metrics::Temporality::Cumulative,
        Temporality::Delta => opentelemetry_sdk::metrics::Temporality::Delta,
        Temporality::LowMemory => opentelemetry_sdk::metrics::Temporality::LowMemory,
    }
}

#[derive(Debug)]
struct Client(Arc<Inbox>);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if let Some(encoding) = request.headers().get(CONTENT_ENCODING) {
            return Err(format!("a body with encoding {encoding:?}").into());
        }
        let exported = ExportMetricsServiceRequest::decode(request.into_body())?;
        let mut inbox = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.extend(exported.resource_metrics);
        Ok(Response::new(Bytes::new()))
    }
}
