//! What `report` can be asked for.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use globset::{GlobBuilder, GlobMatcher};

use crate::names::KubeletAccess;

/// Longer observations are the agent's work, not a report's.
const LONGEST: Duration = Duration::from_hours(24);

/// Observe for a while, then tell who was slowed down, by what, and by whom. With --since a running
/// agent tells what it remembers, and nothing is observed anew.
///
/// Exits with 0 when it ran, 1 on failure, 2 on wrong usage, 3 when --fail-on is met, 4 without
/// the privileges to load kernel programs, 5 on a kernel that cannot be observed, and 130 or 143
/// when interrupted before there was anything to tell. Ctrl-C later on ends the interval early.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// How long to observe, such as 10s, 1m30s or 2h
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, allow_hyphen_values = true)]
    pub(super) duration: Duration,
    /// Tell what happened since so long ago, such as 30m: a running agent knows, up to two hours
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true, conflicts_with = "duration")]
    pub(super) since: Option<Duration>,
    /// … and until so long ago [default: now]
    #[arg(long, value_name = "TIME", value_parser = ago, allow_hyphen_values = true, requires = "since")]
    pub(super) until: Option<Duration>,
    /// Where the agent listens [env: CROSSTALK_HISTORY_SOCKET] [default: /run/crosstalk/agent.sock]
    #[arg(long, value_name = "PATH", requires = "since")]
    pub(super) history_socket: Option<PathBuf>,
    /// Show and judge only cgroups whose path matches, such as '/kubepods*' or '*nginx*'; whoever
    /// slowed them down is named all the same
    #[arg(long, value_name = "GLOB", value_parser = Filter::parse)]
    pub(super) cgroup: Option<Filter>,
    /// What a row stands for: a container, service or session as a whole, or a single cgroup
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = By::Entity)]
    pub(super) by: By,
    /// Rows to show, the worst first; 0 for all [default: 10, 5 when all is calm, all in JSON]
    #[arg(long, value_name = "N")]
    pub(super) top: Option<usize>,
    /// Ask this kubelet for names too, such as https://10.0.0.7:10250, as the service account of the
    /// pod that this runs in; it needs to be allowed to get nodes/pods
    #[arg(long, value_name = "URL", value_parser = kubelet)]
    pub(super) kubelet: Option<KubeletAccess>,
    /// Print a JSON document, described in docs/report.md
    #[arg(long)]
    pub(super) json: bool,
    /// Exit with 3 when the verdict is that the host hurts somebody
    #[arg(long, value_enum, value_name = "VERDICT")]
    pub(super) fail_on: Option<FailOn>,
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum By {
    /// A container, service, session, or what else people have names for
    Entity,
    /// A single cgroup
    Cgroup,
}

impl By {
    /// The name in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            By::Entity => "entity",
            By::Cgroup => "cgroup",
        }
    }
}

/// The verdict that makes the command fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FailOn {
    /// The host hurts somebody
    Hurt,
}

/// Cgroup paths that match a glob; `*` matches `/` too.
#[derive(Clone, Debug)]
pub(super) struct Filter(GlobMatcher);

impl Filter {
    pub(super) fn parse(glob: &str) -> Result<Filter, String> {
        let glob = GlobBuilder::new(glob)
            .build()
            .map_err(|error| format!("it is no glob: {}", error.kind()))?;
        Ok(Filter(glob.compile_matcher()))
    }

    /// The glob as it was given.
    pub(super) fn text(&self) -> &str {
        self.0.glob().glob()
    }

    /// Whether a path matches as a whole.
    pub(super) fn matches(&self, path: &OsStr) -> bool {
        self.0.is_match(path)
    }
}

/// A token is for nobody else to read.
fn kubelet(url: &str) -> Result<KubeletAccess, String> {
    KubeletAccess::in_cluster(url.to_owned())
        .map_err(|what| format!("{what}: give one such as https://10.0.0.7:10250"))
}

/// `0s` is now.
fn ago(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Ok(Duration::ZERO),
        _ => duration(text),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') {
        return Err("an observation takes time: give more than 0 s".into());
    }
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("it is no length of time such as 10s or 1m30s: {error}"))?;
    if duration.is_zero() {
        return Err("an observation takes time: give more than 0 s".into());
    }
    if duration > LONGEST {
        return Err("a report covers at most 24 hours".into());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn times_are_more_than_none_and_less_than_a_day() {
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("24h"), Ok(LONGEST));
        for text in ["0s", "-1s", "soon", "", "25h", "10", "1e9y"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_kubelet_is_asked_over_tls_alone() {
        assert!(kubelet("https://10.0.0.7:10250").is_ok());
        for url in ["http://10.0.0.7:10250", "10.0.0.7:10250", "https://", ""] {
            assert!(kubelet(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_star_crosses_levels_and_bytes() {
        let filter = Filter::parse("*nginx*").unwrap();
        for (path, expected) in [
            (&b"/system.slice/nginx.service/a"[..], true),
            (b"/a\n/\xffnginx", true),
            (b"/system.slice", false),
        ] {
            assert_eq!(filter.matches(OsStr::from_bytes(path)), expected);
        }
        assert!(Filter::parse("/a").unwrap().matches(OsStr::new("/a")));
        assert!(!Filter::parse("/a").unwrap().matches(OsStr::new("/a/b")));
        assert!(Filter::parse("[a-").is_err());
    }
}
