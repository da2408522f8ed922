//! Block I/O: a table of who had requests, and a line on the devices.

use crate::{
    cli::{
        page::{ASIDE, Column, HEADING, Page, Table},
        report::{
            findings::Findings,
            sentences::{self, NOT_INCLUDED},
            text::{most, rows},
        },
    },
    host::text::display_bytes,
    model::{
        Resource,
        disk::{DeviceUse, DiskCause, DiskUsage, DiskUse},
        histogram::Histogram,
    },
    wording::figures::{UNKNOWN, percent, rate, span},
};

/// Requests that took less, in seconds per second, are not worth telling.
const TRIFLE: f64 = 0.02;
/// Causes of less than this part of the time are left out.
const LEAST_PART: f64 = 0.005;
/// Times that are shown, and how many causes: the more the wider the page.
const LAYOUTS: [(Times, usize); 7] = [
    (Times::All, 5),
    (Times::All, 2),
    (Times::Tails, 3),
    (Times::Tails, 2),
    (Times::Tails, 1),
    (Times::Parts, 2),
    (Times::Parts, 1),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    /// Medians as well.
    All,
    /// No medians.
    Tails,
    /// Nor the whole time.
    Parts,
}

/// What one row did on one device with one operation.
struct Line<'a> {
    row: usize,
    part: &'a DiskUse,
}

pub(super) fn render(page: &mut Page, findings: &Findings) {
    let lines = lines(findings);
    let most = most(findings);
    let (shown, hidden) = lines.split_at(lines.len().min(most));
    if shown.is_empty() {
        return;
    }
    page.gap();
    let fits = |layout: &(Times, usize)| page.fits(&table(findings, shown, *layout));
    let layout = LAYOUTS.into_iter().find(fits);
    let layout = layout.unwrap_or((Times::Parts, 1));
    page.table(0, &table(findings, shown, layout));
    if let Some(more) = sentences::more(hidden.len(), ["more", "more"]) {
        page.paragraph(0, ASIDE, &more);
    }
}

/// The devices, where there is something to tell of them.
pub(super) fn devices(page: &mut Page, findings: &Findings) {
    let Some(disks) = &findings.model.disks else {
        return;
    };
    let failed = |device: &&DeviceUse| {
        let usage = device.usage.as_ref();
        usage.is_some_and(|usage| usage.errors > 0)
    };
    let tell_all = !lines(findings).is_empty();
    let is_active = |device: &&DeviceUse| {
        let usage = device.usage.as_ref();
        usage.is_none_or(DiskUsage::is_active)
    };
    let mut told: Vec<&DeviceUse> = disks
        .devices
        .values()
        .filter(|device| {
            if tell_all {
                is_active(device)
            } else {
                failed(device)
            }
        })
        .collect();
    if told.is_empty() {
        return;
    }
    told.sort_by_key(|device| {
        let waited = device.usage.as_ref().map(|usage| usage.wait.total());
        (device.device.stacked, std::cmp::Reverse(waited))
    });
    let told: Vec<String> = told.iter().map(|used| device(findings, used)).collect();
    page.led(0, HEADING, "Disks:", &format!(" {}", told.join("; ")));
    page.paragraph(0, ASIDE, &format!("Not included: {NOT_INCLUDED}"));
}

/// By time that requests waited behind those of others, then by all their time. What is unknown
/// comes last.
fn lines(findings: &Findings) -> Vec<Line<'_>> {
    let rows = &findings.table().rows;
    let of_row = |row: &usize| {
        let (row, uses) = (*row, rows[*row].disk.iter().flatten());
        uses.map(move |part| Line { row, part })
    };
    let all = findings.rows.iter().flat_map(of_row);
    let mut lines: Vec<Line> = all.filter(|line| is_worth(findings, line)).collect();
    lines.sort_by_key(|line| {
        let usage = line.part.usage.as_ref();
        std::cmp::Reverse(usage.map(|usage| {
            let lost = usage.wait.get(DiskCause::Neighbor);
            (lost, usage.wait.total(), usage.requests)
        }))
    });
    lines
}

fn is_worth(findings: &Findings, line: &Line) -> bool {
    let Some(usage) = &line.part.usage else {
        return true;
    };
    let waited = findings.per_second(usage.wait.total() as f64 / 1e9);
    findings.question.top.is_some() || usage.errors > 0 || waited >= Some(TRIFLE)
}

fn table(findings: &Findings, shown: &[Line], (times, causes): (Times, usize)) -> Table {
    let cells = |cell: &dyn Fn(&DiskUsage) -> String| -> Vec<String> {
        let usages = shown.iter().map(|line| line.part.usage.as_ref());
        usages
            .map(|usage| usage.map_or(UNKNOWN.into(), cell))
            .collect()
    };
    let queue = |quantile| cells(&|usage| at(usage.queue.as_ref(), quantile));
    let device = |quantile| cells(&|usage| at(usage.device.as_ref(), quantile));
    let names = shown.iter().map(|line| findings.label(line.row).to_owned());
    let disks = shown.iter().map(|line| {
        let disk = findings.disk(line.part.device);
        format!("{disk} {}", line.part.operation.name())
    });
    let per_second = |amount| findings.per_second(amount).map_or(UNKNOWN.into(), rate);
    let mut columns = vec![
        Column::left(["", rows::what(findings)], names.collect()),
        Column::left(["", "disk"], disks.collect()),
        Column::right(
            ["", "req/s"],
            cells(&|usage| per_second(usage.requests as f64)),
        ),
        Column::right(
            ["", "MB/s"],
            cells(&|usage| per_second(usage.bytes as f64 / 1e6)),
        ),
    ];
    if times == Times::All {
        columns.push(Column::right(["queue", "p50"], queue(0.5)));
    }
    columns.push(Column::right(["queue", "p99"], queue(0.99)));
    if times == Times::All {
        columns.push(Column::right(["device", "p50"], device(0.5)));
    }
    columns.push(Column::right(["device", "p99"], device(0.99)));
    if times != Times::Parts {
        let total = cells(&|usage| at(usage.total.as_ref(), 0.99));
        columns.push(Column::right(["total", "p99"], total));
    }
    columns.push(Column::left(
        ["", "causes"],
        cells(&|usage| waited_for(usage, causes)),
    ));
    let styles = shown.iter().map(|line| {
        let resource = Resource::Disk(line.part.device);
        rows::style(findings, line.row, resource)
    });
    Table::new(columns, styles.collect())
}

/// Empty where there was no request of known time.
fn at(histogram: Option<&Histogram>, quantile: f64) -> String {
    let Some(histogram) = histogram else {
        return UNKNOWN.into();
    };
    histogram.quantile(quantile).map_or(String::new(), span)
}

/// Causes as parts of the time, the largest first.
fn waited_for(usage: &DiskUsage, most: usize) -> String {
    let parts = DiskCause::ALL.map(|cause| (usage.part(cause), cause.name()));
    rows::largest(parts.into(), LEAST_PART, most)
}

/// `vda (root) 512 requests/s, 33 MB/s, 80 ms each`.
fn device(findings: &Findings, used: &DeviceUse) -> String {
    let device = &used.device;
    let mut notes: Vec<String> = Vec::new();
    notes.extend(
        device
            .label
            .as_ref()
            .map(|label| display_bytes(label.as_bytes())),
    );
    notes.extend(
        device
            .stacked
            .then(|| "through other disks, not counted".into()),
    );
    let mut name = display_bytes(device.name.as_bytes());
    if !notes.is_empty() {
        name = format!("{name} ({})", notes.join("; "));
    }
    let Some(usage) = &used.usage else {
        return format!("{name} is not known");
    };
    let per_second = |amount| findings.per_second(amount).map_or(UNKNOWN.into(), rate);
    let mut told = vec![
        format!("{name} {} requests/s", per_second(usage.requests as f64)),
        format!("{} MB/s", per_second(usage.bytes as f64 / 1e6)),
    ];
    told.extend(usage.mean_s().map(|mean| format!("{} each", span(mean))));
    let failed = usage.errors as f64 / usage.requests.max(1) as f64;
    told.extend(
        (usage.errors > 0).then(|| format!("{} failed ({})", usage.errors, percent(failed))),
    );
    told.join(", ")
}
