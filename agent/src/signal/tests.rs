use std::time::Duration;

use agent_ebpf::{cause::Cause, owner::KernelFamily};

use crate::{
    model::{
        Model,
        fixture::{Scene, kernel},
    },
    sample::{CgroupId, Party},
    signal::{Blindness, Class, Culprits, Doubt, OwnCause, Signals, Thresholds, Verdict},
};

fn signals(scene: &Scene) -> (Model, Signals) {
    let model = scene.model();
    let signals = Signals::detect(&model, &Thresholds::default());
    (model, signals)
}

/// A web server that a batch job holds up.
fn noisy() -> (Scene, Party, Party) {
    let mut scene = Scene::new(2);
    let web = scene.cgroup(2, "/web.service");
    let batch = scene.cgroup(3, "/batch.service");
    scene.ran(web, 4.0);
    scene.ran(batch, 16.0);
    scene.waited_for(web, batch, 2.0, 0.020);
    (scene, web, batch)
}

fn class(scene: &Scene) -> Option<Class> {
    signals(scene).1.hurt.first().and_then(|hurt| hurt.class)
}

#[test]
fn a_culprit_over_its_share_is_a_noisy_neighbor() {
    let (scene, ..) = noisy();
    let (model, signals) = signals(&scene);
    assert_eq!(signals.verdict, Verdict::Hurts { hurt: 1, of: 2 });
    let hurt = &signals.hurt[0];
    assert_eq!(hurt.class, Some(Class::NoisyNeighbor));
    assert_eq!(model.entities.rows[hurt.row].name, "web.service");
    let culprit = hurt.culprits.named()[0];
    assert_eq!(model.entities.rows[culprit.row].name, "batch.service");
    assert_eq!(culprit.over, Some(1.6));
    assert!((hurt.lost_share - 1.0 / 3.0).abs() < 1e-9);
}

#[test]
fn both_within_their_shares_is_queueing() {
    let mut scene = Scene::new(2);
    let web = scene.cgroup(2, "/web.service");
    let batch = scene.cgroup(3, "/batch.service");
    scene.ran(web, 4.0);
    scene.ran(batch, 10.0);
    scene.waited_for(web, batch, 2.0, 0.020);
    assert_eq!(class(&scene), Some(Class::SchedulingLatency));
}

#[test]
fn a_victim_over_its_own_share_is_told_for_information() {
    let (mut scene, web, batch) = noisy();
    scene.waited_for(batch, web, 3.0, 0.020);
    let (model, signals) = signals(&scene);
    assert_eq!(signals.verdict, Verdict::Hurts { hurt: 1, of: 2 });
    let last = signals.hurt.last().unwrap();
    assert_eq!(model.entities.rows[last.row].name, "batch.service");
    assert_eq!(last.class, Some(Class::OverRequest));
}

#[test]
fn without_weights_there_is_no_class_but_still_harm() {
    let (mut scene, ..) = noisy();
    scene.after.cgroups.get_mut(&CgroupId(3)).unwrap().weight = None;
    assert_eq!(class(&scene), None);
    assert_eq!(signals(&scene).1.verdict, Verdict::Hurts { hurt: 1, of: 2 });
}

#[test]
fn short_waits_hurt_nobody() {
    let mut scene = Scene::new(2);
    let web = scene.cgroup(2, "/web.service");
    let batch = scene.cgroup(3, "/batch.service");
    scene.ran(web, 4.0);
    scene.waited_for(web, batch, 2.0, 0.005);
    assert_eq!(signals(&scene).1.verdict, Verdict::Calm);
}

#[test]
fn many_small_culprits_are_a_crowd() {
    let mut scene = Scene::new(2);
    let web = scene.cgroup(2, "/web.service");
    for id in 3..13 {
        let small = scene.cgroup(id, format!("/small{id}.service"));
        scene.waited_for(web, small, 0.1, 0.020);
    }
    assert_eq!(signals(&scene).1.hurt[0].culprits, Culprits::Crowd(10));
}

#[test]
fn a_task_that_waits_for_seconds_starves_before_it_ever_ran() {
    let mut scene = Scene::new(1);
    let web = scene.cgroup(2, "/web.service");
    scene.waiting(web, 7.0);
    let (_, signals) = signals(&scene);
    assert!(signals.hurt[0].starved);
    assert_eq!(signals.verdict, Verdict::Hurts { hurt: 1, of: 1 });
}

#[test]
fn a_task_that_its_quota_holds_back_does_not_starve() {
    let mut scene = Scene::new(1);
    let web = scene.cgroup(2, "/web.service");
    scene.quota(2, 0.01);
    scene.ran(web, 0.1);
    scene.waited(web, Cause::Throttled, 9.0, 3.0);
    scene.waiting(web, 7.0);
    let (_, signals) = signals(&scene);
    assert_eq!(signals.verdict, Verdict::Calm);
    assert_eq!(signals.notes[0].cause, OwnCause::Throttled);
}

#[test]
fn steal_is_the_hypervisors_doing() {
    let mut scene = Scene::new(1);
    let web = scene.cgroup(2, "/web.service");
    scene.ran(web, 6.0);
    scene.account(web).steal_ns = 2_000_000_000;
    scene.waited(web, Cause::Steal, 0.5, 0.05);
    let (_, signals) = signals(&scene);
    assert_eq!(signals.notes[0].cause, OwnCause::Hypervisor);
    assert_eq!(signals.notes[0].lost_ns, 2_500_000_000);
}

#[test]
fn kernel_threads_are_neither_victims_nor_neighbors() {
    let mut scene = Scene::new(1);
    let web = scene.cgroup(2, "/web.service");
    let kworker = kernel(KernelFamily::Kworker);
    scene.ran(kworker, 4.0);
    scene.waited_for(kworker, web, 2.0, 0.020);
    scene.waited_for(web, kworker, 2.0, 0.020);
    let (_, signals) = signals(&scene);
    assert_eq!(signals.verdict, Verdict::Calm);
    assert_eq!(signals.notes[0].cause, OwnCause::KernelThreads);
}

#[test]
fn no_answer_without_events_or_causes() {
    let mut scene = Scene::new(1);
    let web = scene.cgroup(2, "/web.service");
    scene.waited(web, Cause::Unattributed, 5.0, 0.05);
    let verdict = |scene: &Scene| signals(scene).1.verdict;
    assert_eq!(
        verdict(&scene),
        Verdict::CannotTell(Blindness::Unattributed(1.0))
    );
    scene.before.health.kernel_run_delay_ns = Some(0);
    scene.after.health.kernel_run_delay_ns = Some(50_000_000_000);
    assert_eq!(
        verdict(&scene),
        Verdict::CannotTell(Blindness::Coverage(0.1))
    );
    scene.after.health.accounted = 0;
    assert_eq!(verdict(&scene), Verdict::CannotTell(Blindness::NothingSeen));
    scene.after.monotonic = Duration::ZERO;
    assert_eq!(verdict(&scene), Verdict::CannotTell(Blindness::NoInterval));
}

#[test]
fn only_victims_that_were_asked_for_count() {
    let (scene, ..) = noisy();
    let model = scene.model();
    let among = |name: &'static str| {
        let asked = move |row: &crate::model::Row| row.name == name;
        Signals::detect_among(&model, &Thresholds::default(), &asked)
    };
    let web = among("web.service");
    assert_eq!(web.verdict, Verdict::Hurts { hurt: 1, of: 1 });
    let culprit = web.hurt[0].culprits.named()[0];
    assert_eq!(model.entities.rows[culprit.row].name, "batch.service");
    assert_eq!(among("batch.service").verdict, Verdict::Calm);
    assert_eq!(
        among("moon").verdict,
        Verdict::CannotTell(Blindness::NobodyThere)
    );
}

#[test]
fn interrupts_that_nobody_accounts_are_a_doubt() {
    let mut scene = Scene::new(1);
    scene.after.abilities.irq = false;
    scene.before.host.irq_ns = Some(0);
    scene.after.host.irq_ns = Some(3_000_000_000);
    let (_, signals) = signals(&scene);
    assert_eq!(signals.doubts, [Doubt::Interrupts(0.3)]);
}
