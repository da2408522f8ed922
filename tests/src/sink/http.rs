//! OTLP over HTTP.

use std::convert::Infallible;
use std::io::{Error, Read as _};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Reply, Sink, taken};

pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, sink: Sink) {
    let answer = service_fn(|request| answer(request, sink.clone()));
    // A connection that was cut on purpose ends with an error.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

async fn answer(request: Request<Incoming>, sink: Sink) -> Result<Response<Full<Bytes>>, Error> {
    let header = |name: &str| Some(request.headers().get(name)?.to_str().ok()?.to_owned());
    let (tenant, encoding) = (header("x-tenant"), header("content-encoding"));
    let path = request.uri().path().to_owned();
    let is_protobuf = header("content-type").as_deref() == Some("application/x-protobuf");
    let body = request.into_body().collect().await.map_err(Error::other)?;
    let is_compressed = encoding.as_deref() == Some("gzip");
    let body = body.to_bytes();
    let message = decoded(&body, is_compressed)?;
    let reply = match path.as_str() {
        "/v1/metrics" if is_protobuf => {
            let request = ExportMetricsServiceRequest::decode(&message[..]);
            let request = request.map_err(Error::other)?;
            sink.note(request, tenant, Some(is_compressed), Some(body))
        }
        "/v1/logs" if is_protobuf => {
            let message = ExportLogsServiceRequest::decode(&message[..]);
            sink.note_logs(message.map_err(Error::other)?)
        }
        _ => return Ok(response(StatusCode::NOT_FOUND, Vec::new())),
    };
    // The answers to metrics and to logs are the same bytes.
    match reply {
        Reply::Accept => Ok(response(StatusCode::OK, taken(0).encode_to_vec())),
        Reply::Reject(points) => Ok(response(StatusCode::OK, taken(points).encode_to_vec())),
        Reply::Unavailable => Ok(response(StatusCode::SERVICE_UNAVAILABLE, Vec::new())),
        Reply::Later(seconds) => {
            let mut later = response(StatusCode::TOO_MANY_REQUESTS, Vec::new());
            later.headers_mut().insert("retry-after", seconds.into());
            Ok(later)
        }
        Reply::Hang => never().await,
        Reply::Cut => Err(Error::other("cut")),
        Reply::Refuse => Ok(response(StatusCode::BAD_REQUEST, b"no".to_vec())),
    }
}

async fn never<T>() -> T {
    match std::future::pending::<Infallible>().await {}
}

fn decoded(body: &[u8], is_compressed: bool) -> Result<Vec<u8>, Error> {
    if !is_compressed {
        return Ok(body.to_vec());
    }
    let mut message = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut message)?;
    Ok(message)
}

fn response(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
