//! Blame against what really ran: for a victim that always wants the CPU, it is the growth of the culprit's run time.

use std::thread::sleep;
use std::time::Duration;

use tests::accord::{assert_share, is_share, within_run_time};
use tests::capability::{emulated, test_cpu};
use tests::cgroup::Cgroup;
use tests::load::{Load, Plan};
use tests::report::{Document, Running};
use tests::shape::{Mode, Shape};
use tests::stage::{Observation, observe, observe_with};
use tests::truth::Snapshot;

const WINDOW: Duration = Duration::from_secs(3);

fn spinner(cgroup: &Cgroup, threads: usize) -> Load {
    let shape = Shape::new(Mode::Spin).threads(threads).wall(WINDOW);
    Plan::new(shape, cgroup)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts")
}

fn assert_blame(seen: &Observation, victim: &Cgroup, culprit: &Cgroup) {
    let ours = seen.report.blame(&victim.path(), &culprit.path());
    let what = format!("blame of {} on {}", victim.path(), culprit.path());
    assert_share(&what, seen, victim, ours, seen.truth(culprit).run_s());
}

#[test]
fn spinners_of_two_and_three_cgroups_on_one_cpu() {
    for size in [2, 3] {
        let groups: Vec<Cgroup> = (0..size)
            .map(|_| Cgroup::new().expect("a cgroup"))
            .collect();
        let mut loads: Vec<Load> = groups.iter().map(|group| spinner(group, 1)).collect();
        let seen = observe(&mut loads);
        for victim in &groups {
            for culprit in groups
                .iter()
                .filter(|culprit| culprit.path() != victim.path())
            {
                assert_blame(&seen, victim, culprit);
            }
            assert_share(
                "self",
                &seen,
                victim,
                seen.report.cause(&victim.path(), "self"),
                0.0,
            );
            assert_share(
                "idle",
                &seen,
                victim,
                seen.report.cause(&victim.path(), "idle"),
                0.0,
            );
        }
    }
}

#[test]
fn two_threads_wait_for_each_other_and_for_the_neighbor() {
    let (pair, single) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    let seen = observe(&mut [spinner(&pair, 2), spinner(&single, 1)]);
    // While one of the pair runs the other waits; while the neighbour runs both wait.
    assert_share(
        "self",
        &seen,
        &pair,
        seen.report.cause(&pair.path(), "self"),
        seen.truth(&pair).run_s(),
    );
    let neighbor = seen.report.blame(&pair.path(), &single.path());
    assert_share(
        "neighbor",
        &seen,
        &pair,
        neighbor,
        2.0 * seen.truth(&single).run_s(),
    );
    assert_blame(&seen, &single, &pair);
}

#[test]
fn siblings_in_one_cgroup_are_self() {
    let group = Cgroup::new().expect("a cgroup");
    let seen = observe(&mut [spinner(&group, 3)]);
    let expected = 2.0 * seen.truth(&group).run_s();
    assert_share(
        "self",
        &seen,
        &group,
        seen.report.cause(&group.path(), "self"),
        expected,
    );
    let own = seen.report.blame(&group.path(), &group.path());
    assert!(
        own.abs() < 1e-9,
        "a cgroup is its own neighbour for {own} s\n{}",
        seen.report.describe(&group.path())
    );
}

fn container(name_digit: char) -> Cgroup {
    let name = format!("docker-{}.scope", name_digit.to_string().repeat(64));
    Cgroup::new()
        .expect("a cgroup")
        .child(&name)
        .expect("a cgroup")
}

#[test]
fn two_cgroups_of_one_container_are_self() {
    let scope = container('a');
    let (left, right) = (
        scope.child("a").expect("a cgroup"),
        scope.child("b").expect("a cgroup"),
    );
    let seen = observe(&mut [spinner(&left, 1), spinner(&right, 1)]);
    let path = scope.path();
    let truth = seen.truth(&left) + seen.truth(&right);
    let (own, wait) = (seen.report.cause(&path, "self"), truth.wait_s());
    let details = seen.report.describe(&path);
    assert!(
        is_share(&seen.report, &path, wait, own, truth.run_s()),
        "self is {own} s of {wait} s, but {} s are true\n{details}",
        truth.run_s()
    );
    let rows = seen
        .report
        .entities()
        .iter()
        .filter_map(|row| row["cgroup"]["path"].as_str());
    let leaves: Vec<&str> = rows
        .filter(|row| row.starts_with(&format!("{path}/")))
        .collect();
    assert!(
        leaves.is_empty(),
        "parts of a container have rows of their own: {leaves:?}"
    );
}

#[test]
fn two_cgroups_of_one_container_are_neighbors_by_cgroup() {
    let scope = container('b');
    let (left, right) = (
        scope.child("a").expect("a cgroup"),
        scope.child("b").expect("a cgroup"),
    );
    let seen = observe_with(
        &mut [spinner(&left, 1), spinner(&right, 1)],
        &["--by", "cgroup"],
    );
    assert_blame(&seen, &left, &right);
    assert_blame(&seen, &right, &left);
}

#[test]
fn the_preemptor_is_not_blamed_for_what_the_long_runner_took() {
    let (victim, runner) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    let preemptor = Cgroup::new().expect("a cgroup");
    let short = Shape::new(Mode::Sleeper)
        .period(Duration::from_millis(2))
        .work(Duration::from_micros(50))
        .wall(WINDOW);
    let short = Plan::new(short, &preemptor)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts");
    let seen = observe(&mut [spinner(&victim, 1), spinner(&runner, 1), short]);
    assert_blame(&seen, &victim, &runner);
    assert_blame(&seen, &victim, &preemptor);
    let long = seen.report.blame(&victim.path(), &runner.path());
    let short = seen.report.blame(&victim.path(), &preemptor.path());
    assert!(
        long > short,
        "most blame goes to the long runner: {long} s, preemptor {short} s"
    );
}

#[test]
fn the_wait_belongs_to_the_task_that_gets_the_cpu() {
    // One always runs, one hardly ever does: whoever confuses them swaps their waits.
    let (busy, rare) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    let shape = Shape::new(Mode::Sleeper)
        .period(Duration::from_millis(20))
        .work(Duration::from_millis(5))
        .wall(WINDOW);
    let sleeper = Plan::new(shape, &rare)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts");
    let seen = observe(&mut [spinner(&busy, 1), sleeper]);
    // Its first and last bursts may find nobody waiting.
    let (blamed, ran) = (
        seen.report.blame(&busy.path(), &rare.path()),
        seen.truth(&rare).run_s(),
    );
    let details = seen.report.describe(&busy.path());
    let stolen = within_run_time(seen.report.cause(&busy.path(), "steal"));
    assert!(
        blamed <= 1.01 * ran && blamed + stolen >= 0.99 * ran - 0.010,
        "blamed for {blamed} s, ran {ran} s\n{details}"
    );
    let idle = seen.report.cause(&busy.path(), "idle");
    let wait = seen.truth(&busy).wait_s();
    assert!(
        idle <= 0.01 * wait,
        "a CPU with somebody waiting idled for {idle} s of {wait} s"
    );
    println!("emulated: {}", emulated());
}

/// A victim and whom it has to wait for, staged once.
struct Run {
    victim: Load,
    culprit: Load,
    before: [Snapshot; 2],
}

impl Run {
    fn stage() -> Self {
        let load = |shape| {
            let group = Cgroup::new().expect("a cgroup");
            let plan = Plan::new(shape, &group).on(&[test_cpu()]);
            plan.start().expect("the load starts")
        };
        let spin = || Shape::new(Mode::Spin);
        // Whenever the culprit runs, the victim wants to: it needs more, however slow the machine is.
        let victim = load(spin().cpu_time(Duration::from_millis(300)));
        let culprit = load(spin().cpu_time(Duration::from_millis(100)));
        let before = [&victim, &culprit].map(|load| Snapshot::at_rest(load.cgroup()));
        Self {
            victim,
            culprit,
            before,
        }
    }

    fn play(&mut self) {
        self.victim.go();
        // It is running by then.
        sleep(Duration::from_millis(50));
        self.culprit.go();
        for load in [&mut self.victim, &mut self.culprit] {
            load.wait_done().unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Whether a report names the culprit first, with the share that it really ran.
    fn is_told(&self, report: &Document) -> bool {
        let [victim, culprit] = [&self.victim, &self.culprit].map(Load::cgroup);
        let [waited, ran] = [(victim, 0), (culprit, 1)].map(|(group, number)| {
            let now = Snapshot::at_rest(group);
            now.since(&self.before[number])
        });
        let rows = report.blame_rows().iter();
        let of_victim =
            rows.filter(|row| row["victim"] == victim.path() && row["resource"] == "cpu");
        let first = of_victim.max_by(|a, b| {
            let seconds = [a, b].map(|row| row["seconds"].as_f64().unwrap_or(0.0));
            seconds[0].total_cmp(&seconds[1])
        });
        let is_first = first.is_some_and(|row| row["culprit"] == culprit.path());
        let (path, wait) = (victim.path(), waited.wait_s());
        let blamed = report.blame(&path, &culprit.path());
        let is_told = is_first && is_share(report, &path, wait, blamed, ran.run_s());
        if !is_told {
            let details = report.describe(&path);
            println!(
                "{blamed} s of {wait} s, but the culprit ran {} s\n{details}",
                ran.run_s()
            );
        }
        is_told
    }
}

#[test]
fn the_right_culprit_comes_first_in_nineteen_of_twenty_runs() {
    let count = if emulated() { 20 } else { 100 };
    let mut runs: Vec<Run> = (0..count).map(|_| Run::stage()).collect();
    let report = Running::start(&["--duration", "10m"]);
    runs.iter_mut().for_each(Run::play);
    let report = report.interrupt();
    let told = runs.iter().filter(|run| run.is_told(&report)).count();
    println!("{told} of {count} runs were told as they were");
    assert!(20 * told >= 19 * count, "{told} of {count} runs");
}
