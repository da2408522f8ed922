//! A receiver of OTLP metrics and logs in this process, over HTTP or gRPC, that answers as a script says and remembers all.

mod connection;
mod grpc;
mod http;

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};

use tokio_rustls::TlsAcceptor;

use crate::certificates::Certificates;
use crate::metrics;

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Takes it.
    Accept,
    /// Takes it but for so many points.
    Reject(i64),
    /// Cannot take it now.
    Unavailable,
    /// Wants it again after so many seconds.
    Later(u64),
    /// Never answers.
    Hang,
    /// Closes the connection without an answer.
    Cut,
    /// Will never take it.
    Refuse,
}

impl Reply {
    /// Whether the points of the request arrived.
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Accept | Self::Reject(_))
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// What it was answered.
    pub reply: Reply,
    /// What it holds.
    pub request: ExportMetricsServiceRequest,
    /// The header `x-tenant`.
    pub tenant: Option<String>,
    /// Whether it was compressed.
    pub is_compressed: Option<bool>,
    /// Its body as it came over HTTP.
    pub body: Option<Bytes>,
}

impl Received {
    /// How many data points it holds.
    pub fn points(&self) -> u64 {
        metrics::count(&self.request)
    }
}

/// Which protocol a sink speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf over HTTP/1.1.
    Http,
    /// gRPC.
    Grpc,
}

impl Protocol {
    /// As the agent calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http/protobuf",
            Self::Grpc => "grpc",
        }
    }
}

/// A request with logs that came.
#[derive(Clone, Debug)]
pub struct ReceivedLogs {
    /// When.
    pub at: Instant,
    /// What it was answered.
    pub reply: Reply,
    /// What it holds.
    pub request: ExportLogsServiceRequest,
}

#[derive(Debug)]
struct State {
    script: VecDeque<Reply>,
    /// After the scripts.
    then: Reply,
    received: Vec<Received>,
    log_script: VecDeque<Reply>,
    logs: Vec<ReceivedLogs>,
}

/// A receiver that runs until the test ends.
#[derive(Clone, Debug)]
pub struct Sink {
    address: SocketAddr,
    is_tls: bool,
    state: Arc<Mutex<State>>,
}

impl Sink {
    /// Listens on a free port; after the script it accepts everything.
    pub fn start(protocol: Protocol, script: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::on(listener, protocol, script)
    }

    /// Talks TLS alone, and only to those who show a certificate.
    pub fn with_tls(protocol: Protocol, certificates: &Certificates) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::serve(
            listener,
            protocol,
            &[],
            Some(certificates.acceptor(protocol)),
        )
    }

    /// Listens there.
    pub fn on(listener: TcpListener, protocol: Protocol, script: &[Reply]) -> Self {
        Self::serve(listener, protocol, script, None)
    }

    fn serve(
        listener: TcpListener,
        protocol: Protocol,
        script: &[Reply],
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("a socket of ours");
        let state = State {
            script: script.iter().copied().collect(),
            then: Reply::Accept,
            received: Vec::new(),
            log_script: VecDeque::new(),
            logs: Vec::new(),
        };
        let sink = Self {
            address,
            is_tls: tls.is_some(),
            state: Arc::new(Mutex::new(state)),
        };
        let serving = sink.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let serve = connection::serve(listener, tls, protocol, serving);
            runtime.expect("a runtime").block_on(serve);
        });
        sink
    }

    /// Answers the next requests with logs like this; those with metrics have a script of their own.
    #[must_use]
    pub fn log_script(self, script: &[Reply]) -> Self {
        self.state().log_script.extend(script);
        self
    }

    /// Answers everything like this from now on, after the scripts.
    pub fn then(&self, reply: Reply) {
        self.state().then = reply;
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        if self.is_tls {
            // The certificate is for a name.
            format!("https://localhost:{}", self.address.port())
        } else {
            format!("http://{}", self.address)
        }
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// Those that it took, in the order in which they came.
    pub fn accepted(&self) -> Vec<ExportMetricsServiceRequest> {
        let received = self.received().into_iter();
        let accepted = received.filter(|received| received.reply.is_accepted());
        accepted.map(|received| received.request).collect()
    }

    /// All requests with logs so far.
    pub fn logs(&self) -> Vec<ReceivedLogs> {
        self.state().logs.clone()
    }

    /// The logs that it took, in the order in which they came.
    pub fn accepted_logs(&self) -> Vec<ExportLogsServiceRequest> {
        let accepted = self.logs().into_iter();
        let accepted = accepted.filter(|received| received.reply.is_accepted());
        accepted.map(|received| received.request).collect()
    }

    /// Waits until `enough` says so of the requests with metrics; panics after a minute.
    pub fn wait(&self, what: &str, enough: impl Fn(&[Received]) -> bool) {
        self.wait_until(what, || enough(&self.received()));
    }

    /// The same for anything.
    pub fn wait_until(&self, what: &str, enough: impl Fn() -> bool) {
        let start = Instant::now();
        while !enough() {
            assert!(
                start.elapsed() < Duration::from_mins(1),
                "not seen in a minute: {what}; {} requests came, and {} with logs",
                self.received().len(),
                self.logs().len(),
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn note(
        &self,
        request: ExportMetricsServiceRequest,
        tenant: Option<String>,
        is_compressed: Option<bool>,
        body: Option<Bytes>,
    ) -> Reply {
        let mut state = self.state();
        let reply = state.script.pop_front().unwrap_or(state.then);
        state.received.push(Received {
            at: Instant::now(),
            reply,
            request,
            tenant,
            is_compressed,
            body,
        });
        reply
    }

    fn note_logs(&self, request: ExportLogsServiceRequest) -> Reply {
        let mut state = self.state();
        let reply = state.log_script.pop_front().unwrap_or(state.then);
        state.logs.push(ReceivedLogs {
            at: Instant::now(),
            reply,
            request,
        });
        reply
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

fn taken(rejected: i64) -> ExportMetricsServiceResponse {
    ExportMetricsServiceResponse {
        partial_success: (rejected > 0).then(|| ExportMetricsPartialSuccess {
            rejected_data_points: rejected,
            error_message: "too old".into(),
        }),
    }
}
