//! Times of requests where the kernel does not note when they are issued: a program sees it instead. All kernels at hand
//! note it, for their write-back throttling wants it; so the agent is told not to look.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tests::cgroup::Cgroup;
use tests::disk::null_blk::NullPlan;
use tests::disk::rows::{DiskReport, number};
use tests::disk::scene::{Act, Staging, Told, undisturbed};
use tests::disk::scratch::ScratchFile;
use tests::report::BUCKET;
use tests::shape::{Mode, Shape, Transfer};

const DELAY: Duration = Duration::from_millis(20);

const LONE: &str = "the_issue_of_a_lone_request_is_seen";
const TURNS: &str = "queue_time_ends_with_the_issue_that_is_seen";
const DEVICE_ONLY: &str = "without_statistics_the_issue_that_is_seen_gives_device_time";
const QUICK: &str = "issues_of_quick_requests_are_seen";

/// For some seconds: the program is attached when requests without issue have come.
fn reads(threads: usize, count: usize) -> Shape {
    Shape::new(Mode::Disk(Transfer::Read))
        .threads(threads)
        .count(count)
}

fn told() -> &'static Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    TOLD.get_or_init(|| undisturbed(stage, |told| told))
}

fn stage() -> Told {
    let mut staging = Staging::with_variable("CROSSTALK_WITHOUT_ISSUE_TIMES", "1");
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let slow = NullPlan::slow(DELAY);
    let unnoted = NullPlan {
        statistics: false,
        ..slow
    };
    let made = [
        (LONE, slow, reads(1, 300)),
        (TURNS, NullPlan::one_at_a_time(DELAY), reads(4, 75)),
        (DEVICE_ONLY, unnoted, reads(2, 300)),
    ]
    .map(|(test, plan, shape)| staging.add_null(test, plan, (shape, &cgroup)));
    let file = ScratchFile::in_memory(16 << 20);
    let for_seconds = reads(2, 0).wall(Duration::from_secs(6));
    let over = staging.add_loop(QUICK, file.path(), (for_seconds, &cgroup));
    let told = staging.observe(|| ());
    drop((made, over));
    told
}

/// Counts are as ever, and most requests have their times.
fn assert_seen<'a>(act: &Act, report: DiskReport<'a>, timing: &str) -> &'a Value {
    let (row, details) = (report.row(&act.paths[0], "read"), report.describe());
    report.assert_tally(&act.paths[0], "read", act.tallies[0]);
    assert_eq!(report.device()["timing"], timing, "{details}");
    row
}

#[test]
fn the_issue_of_a_lone_request_is_seen() {
    let Some((act, report)) = told().of(LONE) else {
        return;
    };
    let row = assert_seen(act, report, "issues");
    report.assert_quantile(row, "device_time", "p50_s", DELAY.as_secs_f64());
    report.assert_quantile(row, "total", "p50_s", DELAY.as_secs_f64());
    let (unissued, requests) = (number(&row["unissued"]), number(&row["requests"]));
    println!("{unissued} of {requests} before the program was there");
    let seen = requests - unissued;
    let device = number(&row["device_time_s"]) / (seen * DELAY.as_secs_f64());
    assert!((1.0..=1.05).contains(&device), "{}", report.describe());
}

#[test]
fn queue_time_ends_with_the_issue_that_is_seen() {
    let Some((act, report)) = told().of(TURNS) else {
        return;
    };
    let row = assert_seen(act, report, "issues");
    report.assert_quantile(row, "queue", "p50_s", (3 * DELAY).as_secs_f64());
    report.assert_quantile(row, "device_time", "p50_s", DELAY.as_secs_f64());
    report.assert_quantile(row, "total", "p50_s", (4 * DELAY).as_secs_f64());
}

#[test]
fn without_statistics_the_issue_that_is_seen_gives_device_time() {
    let Some((act, report)) = told().of(DEVICE_ONLY) else {
        return;
    };
    let row = assert_seen(act, report, "device_only");
    for unknown in [&row["total"]["p50_s"], &row["queue"]["p50_s"]] {
        assert!(unknown.is_null(), "{}", report.describe());
    }
    report.assert_quantile(row, "device_time", "p50_s", DELAY.as_secs_f64());
}

/// As many at a time as a device over memory takes: hardly one finds no room, and none has another's time.
#[test]
fn issues_of_quick_requests_are_seen() {
    let Some((act, report)) = told().of(QUICK) else {
        return;
    };
    let row = assert_seen(act, report, "issues");
    let longest = number(&row["device_time"]["p999_s"]);
    let most = act.tallies[0].longest.as_secs_f64() * BUCKET;
    assert!(
        longest <= most,
        "{longest} s, and no call took {most} s\n{}",
        report.describe()
    );
    let clock = act.tallies[0].time.as_secs_f64();
    let wait = report.wait(&act.paths[0]);
    println!("waited {wait} s, the calls {clock} s");
    assert!(wait <= clock, "{}", report.describe());
}
