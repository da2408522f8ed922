//! What happens to a host while it is observed: a CPU goes off-line and comes back, the wall clock is set.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tests::accord::{assert_run_time, assert_waits};
use tests::capability::{emulated, test_cpu, unsupported};
use tests::cgroup::Cgroup;
use tests::load::{Load, Plan};
use tests::report::Document;
use tests::shape::{Mode, Shape};
use tests::stage::{Observation, observe_while};
use tests::sys::set_wall_clock;

const OWN_HOST: &str = "a host of one's own, to take CPUs from and to set the clock of";
const MOMENT: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_hours(1);

/// A CPU that can be taken off-line; it is put back on drop.
struct Cpu(PathBuf);

impl Cpu {
    fn new(number: usize) -> Self {
        Self(format!("/sys/devices/system/cpu/cpu{number}/online").into())
    }

    fn set(&self, online: bool) -> std::io::Result<()> {
        fs::write(&self.0, if online { "1" } else { "0" })
    }
}

impl Drop for Cpu {
    fn drop(&mut self) {
        if let Err(error) = self.set(true) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// Two threads that take a CPU each, or share the one that there is.
fn pair(group: &Cgroup) -> Load {
    let shape = Shape::new(Mode::Spin).threads(2).wall(3 * MOMENT);
    Plan::new(shape, group).start().expect("the load starts")
}

fn assert_true(name: &str, seen: &Observation, group: &Cgroup) {
    assert_waits(name, seen, group);
    assert_run_time(name, seen, group);
    assert_sane(&seen.report.0, "");
}

/// Nothing is negative, and no share is above 1.
fn assert_sane(value: &Value, name: &str) {
    match value {
        Value::Number(number) => {
            let number = number.as_f64().expect("a number");
            assert!(number >= 0.0, "{name} is {number}");
            assert!(name != "share" || number <= 1.0, "{name} is {number}");
        }
        Value::Array(all) => all.iter().for_each(|one| assert_sane(one, name)),
        Value::Object(fields) => fields.iter().for_each(|(name, one)| assert_sane(one, name)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn observed(group: &Cgroup, conduct: impl FnOnce()) -> (Observation, Duration) {
    let start = Instant::now();
    let seen = observe_while(&mut [pair(group)], &[], |_| conduct());
    (seen, start.elapsed())
}

fn assert_length(report: &Document, at_most: Duration) {
    let seconds = report.seconds();
    let within = seconds >= (3 * MOMENT).as_secs_f64() && seconds <= at_most.as_secs_f64();
    assert!(
        within,
        "an interval of {seconds} s, the clock says {at_most:?}"
    );
}

#[test]
fn a_cpu_goes_off_line_and_comes_back() {
    if !emulated() {
        return unsupported("a_cpu_goes_off_line_and_comes_back", OWN_HOST);
    }
    let (cpu, group) = (Cpu::new(test_cpu()), Cgroup::new().expect("a cgroup"));
    let (seen, time) = observed(&group, || {
        sleep(MOMENT);
        cpu.set(false).expect("a CPU that goes off-line");
        sleep(MOMENT);
        cpu.set(true).expect("a CPU that comes back");
    });
    assert_length(&seen.report, time);
    assert_true("a CPU off-line", &seen, &group);
    // While there was one CPU, one of the two waited for the other.
    let (path, moment) = (group.path(), MOMENT.as_secs_f64());
    let own = seen.report.cause(&path, "self");
    assert!(own >= 0.9 * moment, "{}", seen.report.describe(&path));
    let unknown = seen.report.cause(&path, "unattributed");
    assert!(unknown <= 0.01 * moment, "{}", seen.report.describe(&path));
}

#[test]
fn the_wall_clock_is_set_back_and_forth() {
    if !emulated() {
        return unsupported("the_wall_clock_is_set_back_and_forth", OWN_HOST);
    }
    let group = Cgroup::new().expect("a cgroup");
    let (seen, time) = observed(&group, || {
        sleep(MOMENT / 2);
        for step in [-1, 2, -1] {
            let now = SystemTime::now();
            let then = if step < 0 {
                now - HOUR
            } else {
                now + step as u32 * HOUR
            };
            set_wall_clock(then).expect("a clock that can be set");
            sleep(MOMENT / 2);
        }
    });
    assert_length(&seen.report, time);
    assert_true("a clock that is set", &seen, &group);
}
