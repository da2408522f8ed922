//! Connections, with and without TLS.

use std::net::TcpListener;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::{Protocol, Sink, grpc, http};

pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    protocol: Protocol,
    sink: Sink,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, sink) = (tls.clone(), sink.clone());
        tokio::spawn(async move {
            match tls {
                None => talk(stream, protocol, sink).await,
                Some(tls) => {
                    // Whoever has no certificate is turned away here.
                    if let Ok(stream) = tls.accept(stream).await {
                        talk(stream, protocol, sink).await;
                    }
                }
            }
        });
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, protocol: Protocol, sink: Sink) {
    match protocol {
        Protocol::Http => http::serve(stream, sink).await,
        Protocol::Grpc => grpc::serve(stream, sink).await,
    }
}
