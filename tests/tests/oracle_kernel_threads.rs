//! Kernel threads as culprits: an account of their own, apart from the user tasks of the root cgroup, by family.

use std::time::Duration;

use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::load::{Load, Plan};
use tests::report::Running;
use tests::shape::{Mode, Shape};
use tests::sys;
use tests::truth::{Sched, Snapshot};

const WINDOW: Duration = Duration::from_secs(3);

struct Outcome {
    report: tests::report::Document,
    victims: Sched,
    kernel: Sched,
}

/// A victim on each CPU that always wants it: whatever kernel threads run, they run at a victim's expense.
fn stage(mode: Mode, victims: &Cgroup, culprit: &Cgroup) -> Result<Outcome, String> {
    let cpus = sys::allowed_cpus().expect("an affinity");
    let shape = Shape::new(mode)
        .threads(2)
        .wall(WINDOW)
        .period(Duration::from_micros(500));
    let mut loads = vec![Plan::new(shape, culprit).start()?];
    for &cpu in &cpus {
        loads.push(
            Plan::new(Shape::new(Mode::Spin).wall(WINDOW), victims)
                .on(&[cpu])
                .start()?,
        );
    }
    let before = Snapshot::at_rest(victims);
    let running = Running::start(&["--duration", "10m"]);
    let kernel = Snapshot::kernel_threads();
    loads.iter_mut().for_each(Load::go);
    for load in &mut loads {
        load.wait_done()?;
    }
    let kernel = Snapshot::kernel_threads().since(&kernel);
    let victims = Snapshot::at_rest(victims).since(&before);
    Ok(Outcome {
        report: running.interrupt(),
        victims,
        kernel,
    })
}

fn check(test: &str, mode: Mode, family: &str) {
    let (victims, culprit) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    let seen = match stage(mode, &victims, &culprit) {
        Err(said) if said.contains("unsupported") => return unsupported(test, "a pseudo-terminal"),
        seen => seen.expect("the loads run"),
    };
    let path = victims.path();
    let (ours, truth, wait) = (
        seen.report.cause(&path, "kernel"),
        seen.kernel.run_s(),
        seen.victims.wait_s(),
    );
    let details = seen.report.describe(&path);
    println!("{test}: kernel {ours:.4} s of {wait:.3} s, kernel threads ran {truth:.4} s");
    assert!(
        ours > 0.0,
        "kernel threads ran {truth} s, none of it is blamed on them\n{details}"
    );
    let within = (ours - truth).abs() <= 0.1 * truth + 0.002 * wait;
    assert!(
        within,
        "kernel is {ours} s of {wait} s, kernel threads ran {truth} s\n{details}"
    );
    let named = seen.report.blame(&path, &format!("kernel/{family}"));
    let all = seen.report.blame_below(&path, "kernel/");
    assert!(named > 0.0, "kernel/{family} is not named\n{details}");
    assert!(
        (all - ours).abs() <= 1e-6,
        "families sum to {all}, the cause is {ours}\n{details}"
    );
}

#[test]
fn migration_threads() {
    if sys::allowed_cpus().expect("an affinity").len() < 2 {
        return unsupported("migration_threads", "a second CPU");
    }
    check("migration_threads", Mode::Migrate, "migration");
}

#[test]
fn workers_that_carry_terminal_output() {
    check("workers_that_carry_terminal_output", Mode::Pty, "kworker");
}
