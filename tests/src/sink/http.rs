//! OTLP over HTTP.

use std::convert::Infallible;
use std::io::{Error, Read as _};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, service::service_fn};
use hyper_util::rt::TokioIo;
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
    let is_metrics = request.uri().path() == "/v1/metrics"
        && header("content-type").as_deref() == Some("application/x-protobuf");
    let body = request.into_body().collect().await.map_err(Error::other)?;
    if !is_metrics {
        return Ok(response(StatusCode::NOT_FOUND, Vec::new()));
    }
    let is_compressed = encoding.as_deref() == Some("gzip");
    let message = decoded(&body.to_bytes(), is_compressed)?;
    let message = ExportMetricsServiceRequest::decode(&message[..]).map_err(Error::other)?;
    let reply = sink.note(message, tenant, Some(is_compressed));
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
