//! Events in one sentence each, in the words of reports.

use crate::{
    model::Resource,
    otlp::culprit::Naming,
    signal::{
        Thresholds,
        episodes::{EndReason, Episode, EpisodeCulprit, Event, Victim, What},
    },
    wording::{
        self,
        figures::{count, cpus, percent, span, times},
        listed,
    },
};

pub(super) fn of(event: &Event, naming: &Naming) -> String {
    let victim = match &event.victim {
        Victim::Host => None,
        Victim::Entity(row) => Some(wording::entity(row)),
    };
    let victim = victim.as_deref();
    match &event.what {
        What::Started(episode) => told(victim, episode, "", naming),
        What::Updated(episode) => told(victim, episode, " so far", naming),
        What::Ended(episode, reason) => {
            let why = match reason {
                EndReason::Calm => "it is over",
                EndReason::NotSeen => "it is not seen any more",
                EndReason::AgentStopped => "the agent stops observing",
            };
            format!("{}; {why}", told(victim, episode, "", naming))
        }
        What::Untold(untold) => {
            let episodes = untold.episodes as usize;
            format!(
                "{}: {} in an hour, {} together, beyond those that were told",
                victim.unwrap_or("the CPUs of this host"),
                count(episodes, "more episode", "more episodes"),
                span(untold.length.as_secs_f64()),
            )
        }
    }
}

fn told(victim: Option<&str>, episode: &Episode, so_far: &str, naming: &Naming) -> String {
    let over = format!("over {}{so_far}", span(episode.length.as_secs_f64()));
    let loss = match (victim, episode.resource) {
        (Some(victim), Resource::Cpu) => {
            let (lost, wanted) = lost_and_wanted(episode);
            let lost = wording::lost_cpu(episode.loss.share(), lost, wanted);
            format!("{victim} {lost} {over}")
        }
        (Some(victim), Resource::Disk(_)) => {
            let disk = episode.device.as_deref().unwrap_or("a disk");
            let share = percent(episode.loss.share());
            format!(
                "requests of {victim} on {disk} waited {share} of their time behind those of others {over}"
            )
        }
        (None, _) => {
            let (lost, wanted) = lost_and_wanted(episode);
            format!(
                "the CPUs of this host are full: tasks waited for {} of the CPU they wanted ({} of {} CPUs) {over}",
                percent(episode.loss.share()),
                cpus(lost),
                cpus(wanted),
            )
        }
    };
    let by_whom = match victim {
        Some(_) => to_whom(episode, naming),
        None => who_ran(episode, naming),
    };
    let class = episode.class.map(|class| wording::class(class).to_owned());
    [Some(loss), by_whom, class]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ")
}

/// CPUs.
fn lost_and_wanted(episode: &Episode) -> (f64, f64) {
    let seconds = episode.observed.as_secs_f64().max(f64::MIN_POSITIVE);
    let cpus = |ns: u64| ns as f64 / 1e9 / seconds;
    (cpus(episode.loss.lost_ns), cpus(episode.loss.wanted_ns))
}

fn to_whom(episode: &Episode, naming: &Naming) -> Option<String> {
    if episode.culprits.is_empty() {
        return wording::crowd(episode.neighbors);
    }
    let parts = episode.culprits.iter().map(|culprit| {
        let part = wording::part_of_it(culprit.share);
        format!("{part} to {}{}", naming.word(&culprit.who), over(culprit))
    });
    Some(listed(&parts.collect::<Vec<_>>()))
}

fn who_ran(episode: &Episode, naming: &Naming) -> Option<String> {
    let parts: Vec<String> = episode
        .culprits
        .iter()
        .map(|culprit| {
            let part = percent(culprit.share);
            format!("{part} by {}", naming.word(&culprit.who))
        })
        .collect();
    (!parts.is_empty()).then(|| format!("they were used {}", listed(&parts)))
}

fn over(culprit: &EpisodeCulprit) -> String {
    match culprit.over {
        Some(ratio) if ratio > Thresholds::default().over_contract => {
            format!(" (at {} its contract)", times(ratio))
        }
        Some(_) => " (within its contract)".into(),
        None => String::new(),
    }
}
