//! Doubts in sentences.

use agent_ebpf::{budget::Detail, layout::Reason};

use crate::{
    cli::report::findings::Findings, model::Accounting, signal::Doubt, wording::figures::percent,
};

/// The name in JSON.
pub(in crate::cli::report) fn name(doubt: &Doubt) -> &'static str {
    match doubt {
        Doubt::Coverage(_) => "coverage",
        Doubt::Unattributed(_) => "unattributed",
        Doubt::Unnamed(_) => "unnamed",
        Doubt::SteppedDown(_) => "stepped_down",
        Doubt::SlotsExhausted(_) => "slots_exhausted",
        Doubt::Interrupts(_) => "interrupts",
        Doubt::DiskSampled(_) => "disk_sampled",
        Doubt::DiskRecordsLost(_) => "disk_records_lost",
        Doubt::DiskUnattributed(_) => "disk_unattributed",
        Doubt::DiskStreamsExhausted(_) => "disk_streams_exhausted",
    }
}

/// Its figure, if it has one.
pub(in crate::cli::report) fn value(doubt: &Doubt) -> Option<f64> {
    match *doubt {
        Doubt::Coverage(part)
        | Doubt::Unattributed(part)
        | Doubt::Unnamed(part)
        | Doubt::Interrupts(part)
        | Doubt::DiskRecordsLost(part)
        | Doubt::DiskUnattributed(part) => Some(part),
        Doubt::SteppedDown(_) => None,
        Doubt::SlotsExhausted(number)
        | Doubt::DiskSampled(number)
        | Doubt::DiskStreamsExhausted(number) => Some(number as f64),
    }
}

/// What makes the account less certain.
pub(in crate::cli::report) fn doubt(findings: &Findings, doubt: &Doubt) -> String {
    match doubt {
        Doubt::Coverage(part) => format!(
            "only {} of the waiting that the kernel counted was accounted",
            percent(*part)
        ),
        Doubt::Unattributed(part) => format!(
            "{} of all waiting has no known cause{}",
            percent(*part),
            reasons(&findings.model.accounting)
        ),
        Doubt::Unnamed(part) => format!(
            "{} of the waiting for others cannot be put on anybody by name",
            percent(*part)
        ),
        Doubt::SteppedDown(detail) => stepped_down(*detail).into(),
        Doubt::SlotsExhausted(switches) => format!(
            "there were more cgroups than the maps hold: {switches} switches are accounted \
             together as `other`"
        ),
        Doubt::Interrupts(part) => format!(
            "interrupts took {} of the CPUs, and this kernel counts them for whoever they \
             interrupted",
            percent(*part)
        ),
        Doubt::DiskSampled(pieces) => format!(
            "there were so many requests that where their time went was observed in one of \
             {pieces} pieces of time; how long they took is known of all"
        ),
        Doubt::DiskRecordsLost(part) => format!(
            "where the time of {} of all requests went was lost; how long they took is known of \
             all",
            percent(*part)
        ),
        Doubt::DiskUnattributed(part) => {
            format!(
                "{} of all time of requests has no known cause",
                percent(*part)
            )
        }
        Doubt::DiskStreamsExhausted(requests) => format!(
            "there were more cgroups with requests, or devices, than the maps hold: {requests} \
             requests are accounted together as `other`, or not at all"
        ),
    }
}

fn stepped_down(detail: Detail) -> &'static str {
    match detail {
        Detail::Full => "all was accounted in full",
        Detail::Short => {
            "to stay cheap, the accounting stepped down: long waits have causes for their end only"
        }
        Detail::Totals => {
            "to stay cheap, the accounting stepped down: waits have no causes for a while"
        }
    }
}

fn reasons(accounting: &Accounting) -> String {
    let all = accounting.unattributed_ns.max(1) as f64;
    let mut parts: Vec<(Reason, u64)> = Reason::ALL
        .into_iter()
        .zip(accounting.reasons_ns)
        .filter_map(|(reason, ns)| Some((reason, ns.filter(|ns| *ns > 0)?)))
        .collect();
    parts.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(reason, ns)| format!("{} {}", reason.name(), percent((ns as f64 / all).min(1.0))))
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    }
}
