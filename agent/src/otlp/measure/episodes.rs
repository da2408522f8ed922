//! Episodes of an entity, or of the host.

use crate::{
    otlp::{
        amount::{Amount, Attributes, nanoseconds},
        events::class_of,
        measure::{Interval, Of},
        registry::{CLASS, DEVICE, Points, RESOURCE},
    },
    signal::episodes::EpisodeUse,
};

pub(crate) fn opened(of: &Of<'_>, points: &mut Points) {
    tell(of.episodes, points, count);
}

pub(crate) fn time(of: &Of<'_>, points: &mut Points) {
    tell(of.episodes, points, length);
}

pub(crate) fn opened_by_host(interval: &Interval<'_>, points: &mut Points) {
    tell(interval.episodes, points, count);
}

pub(crate) fn time_of_host(interval: &Interval<'_>, points: &mut Points) {
    tell(interval.episodes, points, length);
}

fn count(episode: &EpisodeUse) -> Amount {
    Amount::Count(episode.opened)
}

fn length(episode: &EpisodeUse) -> Amount {
    Amount::Ns(nanoseconds(episode.length))
}

fn tell(episodes: &[EpisodeUse], points: &mut Points, amount: fn(&EpisodeUse) -> Amount) {
    for episode in episodes {
        points.push((attributes(episode), amount(episode)));
    }
}

fn attributes(episode: &EpisodeUse) -> Attributes {
    let mut attributes = vec![(RESOURCE, episode.resource.name().to_owned())];
    attributes.extend(episode.device.clone().map(|device| (DEVICE, device)));
    let class = class_of(&episode.victim, episode.class);
    attributes.extend(class.map(|class| (CLASS, class.to_owned())));
    attributes
}
