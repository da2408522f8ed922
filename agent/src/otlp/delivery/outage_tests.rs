//! An hour without a receiver, by a clock that goes faster: deliveries as they are, over real
//! connections to a receiver that is away, that cannot take anything, and that does not answer.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::tests::{
    metrics::{self, Point},
    sink::{Protocol, Received, Reply, Sink},
};
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use tokio::{sync::watch, task::spawn_blocking, time::advance};

use super::{Delivery, EventOutbox, Shared, TotalsOutbox};
use crate::{
    config::Layer,
    entity::identify,
    model::{Model, fixture::Scene},
    names::Names,
    otlp::{
        ledger::{Ledger, Limits},
        resource::Host,
    },
};

/// Between two steps of the clock there is a real millisecond, for what is under way on connections.
const STEP: Duration = Duration::from_millis(250);
const REAL: Duration = Duration::from_millis(1);
const INTERVAL: Duration = Duration::from_secs(10);
/// Each third of the outage.
const THIRD: Duration = Duration::from_mins(20);
/// Between two tries there are at most the longest wait, and the time that a request has.
const LONGEST_SILENCE: Duration = Duration::from_secs(60 + 10);
/// What each entity runs in an interval, seconds.
const RUN: f64 = 0.001;
/// Seconds until a receiver that could not take anything wants to be asked again.
const ASKED: u64 = 7;

/// A host on which one service lasts, and another one begins and ends in each interval.
struct Course {
    shared: Arc<Shared>,
    start: SystemTime,
    intervals: u32,
    events: u64,
}

impl Course {
    /// The time of the host and of deliveries goes on by so much.
    async fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / INTERVAL.as_millis() {
            pass_interval().await;
            self.interval();
        }
    }

    fn interval(&mut self) {
        let mut scene = Scene::new(2);
        for name in ["lasting".to_owned(), format!("job-{}", self.intervals)] {
            let id = if name == "lasting" {
                2
            } else {
                3 + self.intervals
            };
            let party = scene.cgroup(id.into(), format!("/{name}.service"));
            scene.ran(party, RUN);
        }
        let mut model = Model::new(&scene.before, &scene.after, &identify);
        model.start = self.start + INTERVAL * self.intervals;
        self.shared.add(&model, &Names::default());
        self.shared.publish();
        self.shared.tell((0..4).map(|_| ResourceLogs::default()));
        self.intervals += 1;
        self.events += 4;
    }
}

/// The time of deliveries alone goes on.
async fn pass_interval() {
    for _ in 0..INTERVAL.as_millis() / STEP.as_millis() {
        hold().await;
        advance(STEP).await;
    }
}

/// A real moment, in which the clock stands still.
async fn hold() {
    spawn_blocking(|| std::thread::sleep(REAL)).await.unwrap();
}

/// Goes on until so much has come: on a busy machine the time of a request may be over before the
/// receiver has seen it.
async fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let most = 3 * LONGEST_SILENCE.as_secs() / INTERVAL.as_secs();
    for _ in 0..most {
        if is_there() {
            return;
        }
        pass_interval().await;
    }
    panic!("{what}");
}

/// What a receiver has of all services in the end, seconds.
fn told(sink: &Sink) -> BTreeMap<String, f64> {
    let points = sink.accepted();
    let points = points.iter().flat_map(metrics::points);
    let run = points.filter(|point| point.metric == "crosstalk.cpu.run.time");
    let of = |point: Point| {
        let path = point.resource.get("crosstalk.cgroup.path")?.clone();
        Some((path, point.value?))
    };
    run.filter_map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_a_receiver_loses_nothing() {
    let address = {
        // Nobody listens there afterwards.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let mut layer = Layer::default();
    layer.export.endpoint = Some(crate::config::Endpoint::Base(format!("http://{address}")));
    let settings = layer.settle().unwrap();
    let shared = Shared::new(Ledger::new(Host::default(), Limits::default()));
    let mut course = Course {
        shared: Arc::clone(&shared),
        start: SystemTime::now(),
        intervals: 0,
        events: 0,
    };
    let end = watch::Sender::new(false);
    let totals = Delivery::new(TotalsOutbox::new(shared.clone()), settings.target).unwrap();
    let events = EventOutbox::new(shared.clone());
    let events = Delivery::new(events, settings.event_target.unwrap()).unwrap();
    let totals = tokio::spawn(totals.run(end.subscribe()));
    let events = tokio::spawn(events.run(end.subscribe()));

    let tries = |time: Duration| (time.as_secs() / LONGEST_SILENCE.as_secs()) as usize;
    course.pass(THIRD).await;
    let failed = || shared.total().requests_failed as usize;
    wait_for("tries of nobody", || failed() >= tries(THIRD)).await;
    let away = shared.total();
    let sink = Sink::on(TcpListener::bind(address).unwrap(), Protocol::Http, &[]);
    let mut seen = 0;
    for reply in [Reply::Unavailable, Reply::Later(ASKED), Reply::Hang] {
        sink.then(reply);
        let time = THIRD / if reply == Reply::Hang { 1 } else { 2 };
        course.pass(time).await;
        let enough = seen + tries(time) - 1;
        wait_for(&format!("{enough} tries, {reply:?}"), || {
            sink.received().len() >= enough
        })
        .await;
        seen = sink.received().len();
    }
    // The host, the lasting service, and jobs that ended.
    let jobs = course.intervals as usize;
    assert!(shared.ledger().entities().count() <= jobs + 2);
    assert_eq!(shared.waiting_events(), 1_024);

    sink.then(Reply::Accept);
    course.pass(2 * LONGEST_SILENCE).await;
    let lasting = RUN * f64::from(course.intervals);
    wait_for("the lasting service's last interval", || {
        let run = told(&sink).get("/lasting.service").copied();
        run.is_some_and(|run| (run - lasting).abs() < 1e-9)
    })
    .await;
    end.send(true).unwrap();
    while !totals.is_finished() || !events.is_finished() {
        hold().await;
    }
    totals.await.unwrap();
    events.await.unwrap();

    let told = told(&sink);
    assert!(
        (told["/lasting.service"] - lasting).abs() < 1e-9,
        "{told:?}"
    );
    for job in 0..course.intervals {
        let path = format!("/job-{job}.service");
        let run = told.get(&path).copied().unwrap_or_default();
        assert!((run - RUN).abs() < 1e-9, "{run} s of {path}");
    }
    let total = shared.total();
    // On a busy machine the time of a request may be over before the receiver has seen it, or its answer came.
    let received = sink.received();
    let points = received.iter().map(Received::points).sum::<u64>();
    let requests = total.requests_accepted + total.requests_failed;
    assert!(requests >= away.requests_failed + received.len() as u64);
    assert!(total.points_accepted + total.points_superseded >= away.points_superseded + points);
    assert!(total.requests_accepted <= sink.accepted().len() as u64);
    let refused = [
        total.requests_refused,
        total.points_rejected,
        total.points_refused,
    ];
    assert_eq!(refused, [0; 3]);
    assert_eq!(total.events_accepted + total.events_dropped, course.events);
    let logs = sink.accepted_logs();
    let taken = logs
        .iter()
        .map(|request| request.resource_logs.len() as u64);
    assert!(taken.sum::<u64>() >= total.events_accepted);
}
