//! OTLP over gRPC.

use std::convert::Infallible;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Reply, Sink, taken};

pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, sink: Sink) {
    let logs = LogsServiceServer::new(sink.clone()).accept_compressed(CompressionEncoding::Gzip);
    let metrics = MetricsServiceServer::new(sink).accept_compressed(CompressionEncoding::Gzip);
    let service = Routes::new(metrics).add_service(logs).prepare();
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
        let reply = self.note(request.into_inner(), tenant, None, None);
        Ok(Response::new(taken(rejected(reply).await?)))
    }
}

#[tonic::async_trait]
impl LogsService for Sink {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let reply = self.note_logs(request.into_inner());
        let rejected = rejected(reply).await?;
        Ok(Response::new(ExportLogsServiceResponse {
            partial_success: (rejected > 0).then(|| ExportLogsPartialSuccess {
                rejected_log_records: rejected,
                error_message: "too old".into(),
            }),
        }))
    }
}

/// How many are rejected, where the request is taken.
async fn rejected(reply: Reply) -> Result<i64, Status> {
    match reply {
        Reply::Accept => Ok(0),
        Reply::Reject(items) => Ok(items),
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
