//! How findings are put into words: the same in reports and in events.

pub mod figures;

use crate::{
    host::text::display_path,
    model::{Key, Kind, Row},
    signal::Class,
};
use figures::{cpus, percent};

/// From here on a part rounds to the whole.
const WHOLE: f64 = 0.995;

/// The name of an entity, safe to print.
pub fn entity(row: &Row) -> String {
    match (row.kind, &row.key) {
        // `HOST HURTS …: all of it to host` says nothing.
        (Kind::Host, _) => "root cgroup".into(),
        // Names of entities are safe to print already.
        (_, Key::Entity(_)) => row.name.clone(),
        _ => display_path(&row.path),
    }
}

/// `lost 33 % of the CPU it wanted (0.20 of 0.60 CPUs)`: a part, and CPUs.
pub fn lost_cpu(share: f64, lost: f64, wanted: f64) -> String {
    format!(
        "lost {} of the CPU it wanted ({} of {} CPUs)",
        percent(share),
        cpus(lost),
        cpus(wanted),
    )
}

/// A part of a loss, 0 to 1.
pub fn part_of_it(share: f64) -> String {
    if share >= WHOLE {
        "all of it".into()
    } else {
        percent(share)
    }
}

/// To whom a loss is, where none of so many neighbors is large enough to name.
pub fn crowd(neighbors: usize) -> Option<String> {
    match neighbors {
        0 => None,
        1 => Some("little of it to the one neighbor with a name".into()),
        number => Some(format!("to {number} neighbors, none of them large")),
    }
}

/// A kind of interference.
pub fn class(class: Class) -> &'static str {
    match class {
        Class::NoisyNeighbor => "noisy neighbor",
        Class::Overcommit => "overcommit",
        Class::SchedulingLatency => "scheduling latency",
        Class::Competition => "competition",
        Class::OverRequest => "over request",
        Class::PodMate => "pod mate",
        Class::SameWorkload => "same workload",
    }
}

/// Names in a row: `a, b and c`.
pub fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
