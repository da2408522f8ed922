//! What a report says of block I/O.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use serde_json::Value;

use crate::report::{BUCKET, Document};
use crate::tally::Tally;

/// A figure that must be known.
pub fn number(value: &Value) -> f64 {
    let number = value.as_f64();
    number.unwrap_or_else(|| panic!("{value} is no number"))
}

/// The causes of a wait for a disk, by the names in the document.
pub const CAUSES: [&str; 5] = ["neighbor", "self", "device", "held", "unattributed"];
/// Operations, by the names in the document.
pub const OPERATIONS: [&str; 4] = ["read", "write", "flush", "discard"];

/// Sums of seconds may differ in the last digits.
const ROUNDING: f64 = 1e-6;

/// What a report says of one device.
#[derive(Clone, Copy, Debug)]
pub struct DiskReport<'a> {
    document: &'a Document,
    device: &'a str,
}

impl<'a> DiskReport<'a> {
    /// Of the device with this kernel name; the sums of the whole document are checked.
    pub fn of(document: &'a Document, device: &'a str) -> Self {
        check_sums(document);
        Self { document, device }
    }

    /// The row of a cgroup and an operation.
    pub fn row(&self, path: &str, operation: &str) -> &'a Value {
        let row = self.rows(path).find(|row| row["operation"] == operation);
        row.unwrap_or_else(|| panic!("no {operation} of {path}\n{}", self.describe()))
    }

    /// A count of a cgroup's row; 0 where it has none.
    pub fn count(&self, path: &str, operation: &str, field: &str) -> u64 {
        let rows = self.rows(path).filter(|row| row["operation"] == operation);
        rows.filter_map(|row| row[field].as_u64()).sum()
    }

    /// A count over all rows of the device.
    pub fn sum(&self, operation: &str, field: &str) -> u64 {
        let rows = disk_rows(self.document)
            .filter(|(_, row)| row["device"] == self.device && row["operation"] == operation);
        rows.filter_map(|(_, row)| row[field].as_u64()).sum()
    }

    /// Requests of all rows of the device.
    pub fn requests(&self) -> u64 {
        OPERATIONS
            .iter()
            .map(|operation| self.sum(operation, "requests"))
            .sum()
    }

    /// Seconds of a cgroup's requests, over all operations.
    pub fn seconds(&self, path: &str, field: &str) -> f64 {
        let seconds = |row: &'a Value| known(&row[field]);
        self.rows(path).map(seconds).sum()
    }

    /// Seconds that a cgroup's requests waited.
    pub fn wait(&self, path: &str) -> f64 {
        self.seconds(path, "wait_s")
    }

    /// Seconds of these with one cause.
    pub fn cause(&self, path: &str, cause: &str) -> f64 {
        let seconds = |row: &'a Value| known(&row["wait_by_cause_s"][cause]);
        self.rows(path).map(seconds).sum()
    }

    /// Seconds that a victim waited because of a culprit.
    pub fn blame(&self, victim: &str, culprit: &str) -> f64 {
        let rows = blame_rows(self.document, self.device);
        rows.filter(|row| row["victim"] == victim && row["culprit"] == culprit)
            .map(|row| known(&row["seconds"]))
            .sum()
    }

    /// Completions that the kernel kept from the program, because they interrupted it: of any device.
    pub fn missed(&self) -> u64 {
        let disk = &self.document.0["accounting"]["disk"];
        disk["recursion_misses"].as_u64().unwrap_or(0)
    }

    /// Whether this kernel does not run the programs on top of some processes, as its switches show.
    pub fn keeps_runs(&self) -> bool {
        self.document.accounting("missed") > 0.0
    }

    /// A count of requests (or of `size` bytes each) is the truth, but for what the kernel kept from the program.
    pub fn assert_count(&self, what: &str, told: u64, truth: u64, size: u64) {
        let missed = self.missed();
        // How many completions it keeps because of whom they interrupt, nobody knows.
        let kept = if self.keeps_runs() {
            truth / 20 + 2 * size
        } else {
            0
        };
        assert!(
            told <= truth && truth - told <= missed * size + kept,
            "{what}: {told}, and {truth} are true; {missed} completions were missed\n{}",
            self.describe()
        );
    }

    /// What a load of one kind did is told exactly, but for what the kernel kept from the program.
    pub fn assert_tally(&self, path: &str, operation: &str, tally: Tally) {
        let (size, count) = (tally.bytes / tally.requests, |field| {
            self.count(path, operation, field)
        });
        self.assert_count(operation, count("requests"), tally.requests, 1);
        self.assert_count("bytes", count("bytes"), tally.bytes, size);
        let errors = (count("errors"), tally.errors);
        assert_eq!(errors, (0, 0), "{operation}: {}", self.describe());
    }

    /// The row of the device itself.
    pub fn device(&self) -> &'a Value {
        let rows = self.document.0["devices"].as_array();
        let rows = rows.unwrap_or_else(|| panic!("no `devices`\n{}", self.describe()));
        rows.iter()
            .find(|row| row["device"] == self.device)
            .unwrap_or_else(|| panic!("no device {}\n{}", self.device, self.describe()))
    }

    /// A quantile against the time that it must be; what the kernel needs itself comes on top.
    pub fn assert_quantile(&self, row: &Value, of: &str, quantile: &str, truth: f64) {
        self.assert_quantile_within(row, of, quantile, truth..=truth);
    }

    /// Likewise, where the truth lies between two times.
    pub fn assert_quantile_within(
        &self,
        row: &Value,
        of: &str,
        quantile: &str,
        truth: RangeInclusive<f64>,
    ) {
        let ours = number(&row[of][quantile]);
        println!("{of} {quantile}: {ours:.6} s, truth {truth:.6?} s");
        assert!(
            ours >= truth.start() / BUCKET && ours <= truth.end() * 1.05 * BUCKET,
            "{of} {quantile} is {ours} s, and must be {truth:?} s\n{}",
            self.describe()
        );
    }

    /// All that the report says of disks, for messages.
    pub fn describe(&self) -> String {
        let mut text = format!("devices {}\n", self.document.0["devices"]);
        for (path, row) in disk_rows(self.document).filter(|(_, row)| row["device"] == self.device)
        {
            let _ = writeln!(text, "  {path} {row}");
        }
        for row in blame_rows(self.document, self.device) {
            let _ = writeln!(text, "  blame {row}");
        }
        let _ = write!(text, "  {}", self.document.0["accounting"]["disk"]);
        text
    }

    fn rows(&self, path: &str) -> impl Iterator<Item = &'a Value> {
        let device = self.device;
        disk_rows(self.document)
            .filter(move |(owner, row)| *owner == path && row["device"] == device)
            .map(|(_, row)| row)
    }
}

/// All rows with the path of their cgroup.
fn disk_rows(document: &Document) -> impl Iterator<Item = (&str, &Value)> {
    document.entities().iter().flat_map(|entity| {
        let path = entity["cgroup"]["path"].as_str().unwrap_or_default();
        let rows = entity["disk"].as_array();
        let rows = rows.unwrap_or_else(|| panic!("{path} has no list `disk`: {entity}"));
        rows.iter().map(move |row| (path, row))
    })
}

fn blame_rows<'a>(document: &'a Document, device: &str) -> impl Iterator<Item = &'a Value> {
    let resource = format!("disk:{device}");
    let rows = document.blame_rows().iter();
    rows.filter(move |row| row["resource"] == resource.as_str())
}

fn known(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("a time is {value}, and not known"))
}

/// What must hold in each document, whatever happened.
pub fn check_sums(document: &Document) {
    let disk = &document.0["accounting"]["disk"];
    let count = |value: &Value| {
        let count = value.as_u64();
        count.unwrap_or_else(|| panic!("a count is {value} in {disk}"))
    };
    let dropped = &disk["dropped"];
    let dropped = ["partial", "not_io", "no_device"].map(|why| count(&dropped[why]));
    let (seen, accounted) = (count(&disk["seen"]), count(&disk["accounted"]));
    assert_eq!(
        seen,
        accounted + dropped.iter().sum::<u64>(),
        "what was seen is accounted or dropped: {disk}"
    );
    let devices = document.0["devices"].as_array();
    let devices = devices.unwrap_or_else(|| panic!("`devices` is {}", document.0["devices"]));
    let requests: u64 = devices.iter().map(|row| count(&row["requests"])).sum();
    // The programs of a busy machine count on while they are read.
    let slack = if crate::capability::emulated() {
        0
    } else {
        16 + accounted / 100
    };
    assert!(
        requests.abs_diff(accounted) <= slack,
        "requests of all devices are {requests}, accounted {accounted}: {disk}"
    );
    for device in devices {
        check_device(document, device);
    }
    for (path, row) in disk_rows(document) {
        check_causes(path, row);
    }
    for entity in document.entities() {
        check_blame(document, entity);
    }
}

fn check_device(document: &Document, device: &Value) {
    let rows = || disk_rows(document).filter(|(_, row)| row["device"] == device["device"]);
    for field in ["requests", "bytes", "errors"] {
        let sum: u64 = rows().filter_map(|(_, row)| row[field].as_u64()).sum();
        assert_eq!(
            Some(sum),
            device[field].as_u64(),
            "{field} of all rows, and of {device}"
        );
    }
}

fn check_causes(path: &str, row: &Value) {
    let count = |field: &str| row[field].as_u64().unwrap_or_default();
    let (requests, untimed, unissued) = (count("requests"), count("untimed"), count("unissued"));
    let Some(wait) = row["wait_s"].as_f64() else {
        let unknown = untimed == requests && row["device_time_s"].is_null();
        assert!(unknown, "{path} has times that are not told: {row}");
        return;
    };
    if requests > 0 && untimed == requests {
        // From the issue on.
        assert!(
            wait > 0.0 && row["device_time_s"] == wait,
            "no other time of {path} is known, and it is told as {wait} s: {row}"
        );
    }
    let causes = &row["wait_by_cause_s"];
    let sum: f64 = CAUSES.iter().map(|cause| known(&causes[cause])).sum();
    assert!(
        (sum - wait).abs() <= ROUNDING * (1.0 + wait),
        "the causes of {path} sum to {sum}: {row}"
    );
    // Where an issue is not known, the two are less.
    if untimed == 0 && unissued == 0 {
        let parts = known(&row["queue_s"]) + known(&row["device_time_s"]);
        assert!(
            (parts - wait).abs() <= ROUNDING * (1.0 + wait),
            "queue and device time of {path} sum to {parts}: {row}"
        );
    }
}

/// Blame of a victim on a device is all that it waited for neighbors there.
fn check_blame(document: &Document, entity: &Value) {
    let path = &entity["cgroup"]["path"];
    let rows = entity["disk"].as_array().into_iter().flatten();
    let mut devices: Vec<&str> = rows.filter_map(|row| row["device"].as_str()).collect();
    devices.dedup();
    for device in devices {
        let rows = entity["disk"].as_array().into_iter().flatten();
        let neighbor: f64 = rows
            .filter(|row| row["device"] == device && row["wait_s"].is_number())
            .map(|row| known(&row["wait_by_cause_s"]["neighbor"]))
            .sum();
        let blamed: f64 = blame_rows(document, device)
            .filter(|row| row["victim"] == *path)
            .map(|row| known(&row["seconds"]))
            .sum();
        assert!(
            (neighbor - blamed).abs() <= ROUNDING * (1.0 + neighbor),
            "{path} waited for neighbors on {device} for {neighbor} s, and blames {blamed} s"
        );
    }
}
