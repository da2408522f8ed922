//! A host observed on and on: a reading each second, and one interval after the other.

use std::{collections::BTreeSet, ffi::OsStr, rc::Rc};

use crate::{
    entity::identify_with,
    model::{Identity, Model},
    names::{Names, Resolver},
    observe::{Observer, SampleError},
    otlp::{ledger::Limits, registry::Tier},
    sample::{Sample, pressure::Pressures},
};

/// An observer, its latest readings, and who gives names to what they tell.
pub(super) struct Watch {
    observer: Observer,
    naming: Naming,
    /// Where the interval to export began.
    began: Rc<Sample>,
    /// The pressure then; `None` where it is not wanted.
    pressure: Option<Pressures>,
    latest: Rc<Sample>,
    wants_pressure: bool,
}

impl Watch {
    /// Takes the first reading.
    pub(super) fn start(
        mut observer: Observer,
        naming: Naming,
        limits: &Limits,
    ) -> Result<Watch, SampleError> {
        let first = Rc::new(observer.sample()?);
        let mut watch = Watch {
            observer,
            naming,
            began: Rc::clone(&first),
            pressure: None,
            latest: first,
            wants_pressure: false,
        };
        watch.set_limits(limits);
        watch.pressure = watch.read_pressure();
        Ok(watch)
    }

    /// Reads what these limits let be told, from the end of the interval on.
    pub(super) fn set_limits(&mut self, limits: &Limits) {
        self.wants_pressure = limits.tell(Tier::Extra);
    }

    /// What happened since the latest reading. What cannot be read now is part of the next one.
    pub(super) fn second(&mut self) -> Result<Model, SampleError> {
        let sample = Rc::new(self.observer.sample()?);
        let model = self.naming.model(&self.latest, &sample);
        self.latest = sample;
        Ok(model)
    }

    /// Ends an interval with the latest reading, and begins the next; `None` without a reading
    /// since it began.
    pub(super) fn interval(&mut self) -> Option<Model> {
        if Rc::ptr_eq(&self.began, &self.latest) {
            return None;
        }
        let model = self.naming.model(&self.began, &self.latest);
        self.began = Rc::clone(&self.latest);
        let after = self.read_pressure();
        let before = std::mem::replace(&mut self.pressure, after);
        Some(match (&before, &self.pressure) {
            (Some(before), Some(after)) => model.with_pressure(before, after),
            _ => model,
        })
    }

    fn read_pressure(&self) -> Option<Pressures> {
        self.wants_pressure.then(|| self.observer.pressures())
    }

    /// Others give names from now on.
    pub(super) fn rename(&mut self, naming: Naming) {
        self.naming = naming;
    }

    /// The latest reading.
    pub(super) fn latest(&self) -> &Rc<Sample> {
        &self.latest
    }

    /// When the latest reading was taken, by the monotonic clock.
    pub(super) fn now(&self) -> std::time::Duration {
        self.latest.monotonic
    }

    /// How sources of names fare.
    pub(super) fn names(&self) -> &Names {
        &self.naming.names
    }
}

/// Names for entities, as far as they are known.
pub(super) struct Naming {
    /// `None` where no thread could be had.
    resolver: Option<Resolver>,
    names: Names,
    /// Containers whose names were asked for and not told.
    nameless: BTreeSet<String>,
}

impl Naming {
    pub(super) fn new(resolver: Option<Resolver>) -> Naming {
        Naming {
            resolver,
            names: Names::default(),
            nameless: BTreeSet::new(),
        }
    }

    fn model(&mut self, before: &Sample, after: &Sample) -> Model {
        if let Some(resolver) = &self.resolver {
            self.names = resolver.names();
        }
        let identify = |path: &OsStr| -> Identity { identify_with(&self.names.facts, path) };
        let model = Model::of_entities(before, after, &identify);
        self.ask_for(&model);
        model
    }

    /// Names of containers that came since are wanted at once; without them one waits for the next
    /// round.
    fn ask_for(&mut self, model: &Model) {
        let rows = model.entities.rows.iter().filter(|row| row.lacks_name());
        let ids = rows.filter_map(|row| row.labels.container_id.clone());
        let nameless: BTreeSet<String> = ids.collect();
        if !nameless.is_subset(&self.nameless)
            && let Some(resolver) = &self.resolver
        {
            resolver.ask();
        }
        self.nameless = nameless;
    }
}
