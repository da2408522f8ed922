//! One request to a receiver, and what it answered. Whether and when to try again is for
//! [`crate::otlp::delivery`] to say.

mod grpc;
mod http;
mod tls;

use std::{io, time::Duration};

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest,
};
use thiserror::Error;

use crate::config::{Protocol, Target};

/// What a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took the request.
    Accepted {
        /// All but so many points.
        rejected: u64,
        /// What it says about that.
        message: String,
    },
    /// It will never take this request.
    Refused {
        /// What it says.
        why: String,
        /// Whether parts of the request may fare better.
        divide: bool,
    },
    /// It may take it later.
    TryAgain {
        /// What it says, or what failed.
        why: String,
        /// Not before so long.
        after: Option<Duration>,
    },
}

/// Why there can be no connection.
#[derive(Debug, Error)]
pub enum TransportError {
    /// A file cannot be used.
    #[error("{path} cannot be used: {why}")]
    File {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
    /// The certificates do not work.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The host's own certificates cannot be read.
    #[error("the host's certificates cannot be read: {0}")]
    Roots(#[from] io::Error),
}

/// Connections to a receiver.
#[derive(Debug)]
pub struct Transport {
    kind: Kind,
    timeout: Duration,
}

#[derive(Debug)]
enum Kind {
    Http(http::Sender),
    Grpc(grpc::Sender),
}

impl Transport {
    /// Reads the certificates; connects with the first request.
    pub fn new(target: &Target) -> Result<Transport, TransportError> {
        let kind = match target.protocol {
            Protocol::Http => Kind::Http(http::Sender::new(target)?),
            Protocol::Grpc => Kind::Grpc(grpc::Sender::new(target)?),
        };
        Ok(Transport {
            kind,
            timeout: target.timeout,
        })
    }

    /// Sends one request and waits for the answer, for as long as set.
    pub async fn send(&self, request: ExportMetricsServiceRequest) -> Answer {
        let answer = async {
            match &self.kind {
                Kind::Http(sender) => sender.send(&request).await,
                Kind::Grpc(sender) => sender.send(request).await,
            }
        };
        let answered = tokio::time::timeout(self.timeout, answer).await;
        answered.unwrap_or_else(|_| Answer::TryAgain {
            why: format!(
                "no answer within {}",
                humantime::format_duration(self.timeout)
            ),
            after: None,
        })
    }
}

/// Rejected points are never sent again: so says the specification.
fn accepted(partial: Option<ExportMetricsPartialSuccess>) -> Answer {
    let partial = partial.unwrap_or_default();
    Answer::Accepted {
        rejected: u64::try_from(partial.rejected_data_points).unwrap_or(0),
        message: partial.error_message,
    }
}

/// An error with those below it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        below = error.source();
    }
    text
}

const USER_AGENT: &str = concat!("OTel-OTLP-Exporter-crosstalk/", env!("CARGO_PKG_VERSION"));
