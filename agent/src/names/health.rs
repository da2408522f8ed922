//! How the sources fare, as one line of `doctor`.

use super::resolver::{Names, SourceState};
use crate::{
    capability::{Capability, Status},
    host::text::display_bytes,
};

/// The capability `names`.
pub fn capability(names: &Names) -> Capability {
    let told: Vec<String> = names.sources.iter().filter_map(told).collect();
    let failed: Vec<String> = names.sources.iter().filter_map(failed).collect();
    let (status, detail, remedy) = if names.rounds == 0 {
        (Status::Broken, "no source has answered yet".into(), None)
    } else if failed.is_empty() && told.is_empty() {
        let nothing = "no names of Kubernetes, Docker or podman are to be seen here";
        (Status::Off, nothing.into(), None)
    } else if failed.is_empty() {
        (Status::Active, told.join("; "), None)
    } else {
        let remedy = "let Crosstalk read what failed, or see why it does not answer";
        let all = [failed, told].concat().join("; ");
        (Status::Broken, all, Some(remedy.to_owned()))
    };
    Capability {
        name: "names".into(),
        intent: "names of pods and containers".into(),
        required: false,
        status,
        detail,
        remedy,
    }
}

fn told(source: &super::SourceHealth) -> Option<String> {
    let SourceState::Read { pods, containers } = source.state else {
        return None;
    };
    let number = |number: usize, noun: &str| match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    };
    let (pods, containers) = (number(pods, "pod"), number(containers, "container"));
    Some(format!("{}: {pods}, {containers}", source.name))
}

fn failed(source: &super::SourceHealth) -> Option<String> {
    let SourceState::Failed(why) = &source.state else {
        return None;
    };
    Some(format!(
        "{}: {}",
        source.name,
        display_bytes(why.as_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::SourceHealth;

    fn names(states: &[SourceState]) -> Names {
        let sources = states.iter().cloned().map(|state| SourceHealth {
            name: "source",
            state,
            failures: 0,
        });
        Names {
            sources: sources.collect(),
            rounds: 1,
            ..Names::default()
        }
    }

    #[test]
    fn a_line_for_each_state() {
        let read = SourceState::Read {
            pods: 1,
            containers: 2,
        };
        let failed = SourceState::Failed("no\nanswer".into());
        for (states, status, detail) in [
            (vec![SourceState::Absent], Status::Off, "no names"),
            (
                vec![SourceState::Absent, read.clone()],
                Status::Active,
                "source: 1 pod, 2 containers",
            ),
            (
                vec![read, failed],
                Status::Broken,
                "source: no\\x0aanswer; source: 1 pod, 2 containers",
            ),
        ] {
            let capability = capability(&names(&states));
            assert_eq!(capability.status, status);
            assert!(
                capability.detail.starts_with(detail),
                "{}",
                capability.detail
            );
        }
        assert_eq!(capability(&Names::default()).status, Status::Broken);
    }
}
