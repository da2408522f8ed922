//! What `agent` can be asked for.

use std::path::PathBuf;

use crate::config::{
    Backend, Compression, CulpritNames, Detail, Endpoint, Export, Histograms, History, Identity,
    Layer, Most, Protocol, Temporality, Time, Tls,
};

/// Observe on and on, and export metrics over OTLP.
///
/// Settings come from flags, or else from the environment (OTEL_EXPORTER_OTLP_*,
/// OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME, CROSSTALK_*), or else from the file; docs/agent.md
/// has them all. SIGTERM and Ctrl-C deliver the last interval and end with 0.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A YAML file with settings
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Say whether the settings are right, and end
    #[arg(long, conflicts_with = "once")]
    pub(super) check: bool,
    /// Observe one interval, print it and end
    #[arg(long, requires = "to")]
    pub(super) once: bool,
    #[command(flatten)]
    pub(super) to: To,
    #[command(flatten)]
    flags: Flags,
}

/// Where the one interval goes.
#[derive(Debug, clap::Args)]
#[group(id = "to", multiple = false, requires = "once")]
pub(super) struct To {
    /// Print what would be sent, as OTLP JSON
    #[arg(long)]
    pub(super) stdout: bool,
    /// Print how many series each metric has
    #[arg(long)]
    pub(super) cardinality: bool,
}

#[derive(Debug, clap::Args)]
struct Flags {
    /// Between exports [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    interval: Option<Time>,
    /// How long the end may take [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    shutdown_timeout: Option<Time>,
    /// For whom there are the costly metrics [default: affected]
    #[arg(long, value_enum, value_name = "WHOM")]
    detail: Option<Detail>,
    /// Series of all entities together, at most [default: 10000]
    #[arg(long, value_name = "N")]
    max_series: Option<usize>,
    /// Series of these that not everybody has: histograms, disks, culprits [default: 1000, or 8000 with
    /// a detail of all or extra]
    #[arg(long, value_name = "N")]
    max_details: Option<usize>,
    /// Culprits with a series of their own for each victim, at most [default: 8]
    #[arg(long, value_name = "N")]
    max_culprits: Option<usize>,
    /// Whether episodes are sent as events [default: true]
    #[arg(long, value_name = "BOOL")]
    events: Option<bool>,
    /// How much of culprits' names is told [default: full]
    #[arg(long, value_enum, value_name = "HOW")]
    culprit_names: Option<CulpritNames>,
    /// Who keeps the metrics: gives the temporality, histograms and identity other defaults
    #[arg(long, value_enum, value_name = "WHO")]
    backend: Option<Backend>,
    /// Since when sums and histograms count [default: cumulative]
    #[arg(long, value_enum, value_name = "SINCE")]
    temporality: Option<Temporality>,
    /// How histograms are told [default: exponential]
    #[arg(long, value_enum, value_name = "HOW")]
    histograms: Option<Histograms>,
    /// Where it is said whose a data point is [default: resource]
    #[arg(long, value_enum, value_name = "WHERE")]
    identity: Option<Identity>,
    /// An attribute of all Resources; may be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    resource: Vec<(String, String)>,
    /// Ask this kubelet for names too, such as https://10.0.0.7:10250, as the service account of the
    /// pod that this runs in; it needs to be allowed to get nodes/pods
    #[arg(long, value_name = "URL")]
    kubelet: Option<String>,
    /// Disturb a process of its own for two seconds every so often, such as 1h, and compare what is
    /// told of it with what the kernel says [default: never]
    #[arg(long, value_name = "TIME", value_parser = time)]
    canary: Option<Time>,
    /// Where `crosstalk report --since` finds this agent, or none: it keeps no history then
    /// [default: /run/crosstalk/agent.sock]
    #[arg(long, value_name = "PATH")]
    history_socket: Option<PathBuf>,
    /// Who may ask beside the agent's user: the name or number of a group [default: nobody]
    #[arg(long, value_name = "GROUP")]
    history_group: Option<String>,
    /// Where to export to [default: http://localhost:4318, with gRPC http://localhost:4317]
    #[arg(long, value_name = "ADDRESS")]
    endpoint: Option<String>,
    /// How to export [default: http/protobuf]
    #[arg(long, value_enum, value_name = "PROTOCOL")]
    protocol: Option<Protocol>,
    /// A header of each request; may be given again. Other users see the command line: secrets
    /// belong into the file or the environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    header: Vec<(String, String)>,
    /// How to compress requests [default: gzip]
    #[arg(long, value_enum, value_name = "HOW")]
    compression: Option<Compression>,
    /// For one request [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Time>,
    /// Certificates of whom to trust, PEM [default: the host's]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A certificate to show, PEM
    #[arg(long, value_name = "FILE")]
    cert_file: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Args {
    /// What the flags say.
    pub(super) fn layer(&self) -> Layer {
        let flags = &self.flags;
        Layer {
            interval: flags.interval,
            shutdown_timeout: flags.shutdown_timeout,
            detail: flags.detail,
            limits: Most {
                series: flags.max_series,
                details: flags.max_details,
                culprits: flags.max_culprits,
            },
            resource: flags.resource.iter().cloned().collect(),
            service_name: None,
            kubelet: flags.kubelet.clone(),
            canary: flags.canary,
            events: flags.events,
            culprit_names: flags.culprit_names,
            backend: flags.backend,
            temporality: flags.temporality,
            histograms: flags.histograms,
            identity: flags.identity,
            export_events: None,
            history: History {
                socket: flags.history_socket.clone(),
                group: flags.history_group.clone(),
            },
            export: Export {
                endpoint: flags.endpoint.clone().map(Endpoint::Base),
                protocol: flags.protocol,
                headers: flags.header.iter().cloned().collect(),
                compression: flags.compression,
                timeout: flags.timeout,
                tls: Tls {
                    ca_file: flags.ca_file.clone(),
                    cert_file: flags.cert_file.clone(),
                    key_file: flags.key_file.clone(),
                },
            },
        }
    }
}

fn time(text: &str) -> Result<Time, String> {
    Time::try_from(text.to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("give a name, `=` and a value")?;
    Ok((key.to_owned(), value.to_owned()))
}
