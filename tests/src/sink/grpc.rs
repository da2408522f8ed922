//! OTLP over gRPC.

use std::convert::Infallible;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Reply, Sink, taken};

pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, sink: Sink) {
    let service = MetricsServiceServer::new(sink).accept_compressed(CompressionEncoding::Gzip);
    // An agent that ends may leave in the middle.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await;
}

#[tonic::async_trait]
impl MetricsService for Sink {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let tenant = request.metadata().get("x-tenant");
        let tenant = tenant.and_then(|value| Some(value.to_str().ok()?.to_owned()));
        match self.note(request.into_inner(), tenant, None) {
            Reply::Accept => Ok(Response::new(taken(0))),
            Reply::Reject(points) => Ok(Response::new(taken(points))),
            Reply::Unavailable | Reply::Cut => Err(Status::unavailable("not now")),
            Reply::Later(seconds) => {
                let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds)));
                let code = Code::ResourceExhausted;
                Err(Status::with_error_details(code, "later", details))
            }
            Reply::Hang => match std::future::pending::<Infallible>().await {},
            Reply::Refuse => Err(Status::invalid_argument("no")),
        }
    }
}
