//! One request to a receiver, and what it answered. Whether and when to try again is for
//! [`crate::otlp::delivery`] to say.

mod grpc;
mod http;
mod tls;

use std::{io, time::Duration};

use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
};
use prost::Message;
use thiserror::Error;

use crate::config::{Protocol, Target};

/// What a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took the request.
    Accepted {
        /// All but so many points or events.
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
        /// Whether the receiver may have taken it all the same.
        may_have_arrived: bool,
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

/// A request of one signal of OTLP.
pub trait Request: Message + Default + 'static {
    /// What answers it.
    type Response: Message + Default + 'static;
    /// The method of its service over gRPC.
    const METHOD: &'static str;

    /// How much of it was not taken, and what is said about that.
    fn rejected(response: Self::Response) -> (i64, String);
}

impl Request for ExportMetricsServiceRequest {
    type Response = ExportMetricsServiceResponse;
    const METHOD: &'static str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

    fn rejected(response: Self::Response) -> (i64, String) {
        let partial = response.partial_success.unwrap_or_default();
        (partial.rejected_data_points, partial.error_message)
    }
}

impl Request for ExportLogsServiceRequest {
    type Response = ExportLogsServiceResponse;
    const METHOD: &'static str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

    fn rejected(response: Self::Response) -> (i64, String) {
        let partial = response.partial_success.unwrap_or_default();
        (partial.rejected_log_records, partial.error_message)
    }
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
    pub async fn send<R: Request>(&self, request: R) -> Answer {
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
            may_have_arrived: true,
        })
    }
}

/// What is rejected is never sent again: so says the specification.
fn accepted<R: Request>(response: R::Response) -> Answer {
    let (rejected, message) = R::rejected(response);
    Answer::Accepted {
        rejected: u64::try_from(rejected).unwrap_or(0),
        message,
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
