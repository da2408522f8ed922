//! The kubelet's Pods API on a Unix socket, and its `/pods` over HTTPS.

use std::convert::Infallible;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::{Pods, Source, objects};

/// What stands for a service account.
pub(super) const TOKEN: &str = "eyJ.test.token";

/// Serves both until the test ends.
pub(super) fn serve(unix: UnixListener, tcp: TcpListener, tls: ServerConfig, pods: Pods) {
    unix.set_nonblocking(true).expect("a socket of ours");
    tcp.set_nonblocking(true).expect("a socket of ours");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async move {
            tokio::spawn(serve_http(tcp, tls, pods.clone()));
            serve_grpc(unix, pods).await;
        });
    });
}

async fn serve_grpc(listener: UnixListener, pods: Pods) {
    let listener = tokio::net::UnixListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let pods = pods.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<_>| {
                let answer = list_pods(request.uri().path(), &pods);
                async { Ok::<_, Infallible>(answer) }
            });
            // Whoever has got an answer goes.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

/// One message that is not compressed, and that all went well.
fn list_pods(
    path: &str,
    pods: &Pods,
) -> Response<impl hyper::body::Body<Data = Bytes, Error = Infallible> + use<>> {
    assert_eq!(path, "/v1alpha1.Pods/ListPods");
    let message = objects::protobuf(&pods.told_by(Source::PodsApi));
    let length = u32::try_from(message.len()).expect("some kilobytes");
    let body = [&[0], &length.to_be_bytes()[..], &message].concat();
    let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), 0.into())]);
    let body = Full::from(body).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

async fn serve_http(listener: TcpListener, tls: ServerConfig, pods: Pods) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let tls = TlsAcceptor::from(Arc::new(tls));
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, pods) = (tls.clone(), pods.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let answer = service_fn(|request: Request<_>| {
                let answer = list_over_http(&request, &pods);
                async { Ok::<_, Infallible>(answer) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

fn list_over_http<T>(request: &Request<T>, pods: &Pods) -> Response<Full<Bytes>> {
    let bearer = request.headers().get(AUTHORIZATION);
    let may =
        bearer.is_some_and(|bearer| bearer.as_bytes() == format!("Bearer {TOKEN}").as_bytes());
    let mut response = Response::new(Full::default());
    if !may || request.uri().path() != "/pods" {
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    }
    let list = objects::json(&pods.told_by(Source::Kubelet)).to_string();
    *response.body_mut() = Full::from(list);
    response
}
