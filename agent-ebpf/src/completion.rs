//! Block I/O: accounts each request when it is completed.
//!
//! While a request carries its own times, no state is kept between its issue and its completion.

use agent_ebpf::block::{
    Operation, Record, Stream, device_key, in_observed_piece, other_stream, stream_key,
};
use aya_ebpf::{helpers::bpf_get_smp_processor_id, programs::BtfTracePointContext};

use crate::{
    kernel::argument,
    maps::{Value, atomic_add},
    request::{Request, address, monotonic},
    streams,
};

/// When a request was created, issued and completed. 0 is not known.
#[derive(Clone, Copy)]
struct Times {
    start: u64,
    issued: u64,
    done: u64,
}

/// `block_rq_complete(request, error, bytes)`.
#[inline(always)]
pub(crate) fn completed(ctx: &BtfTracePointContext) {
    let done = monotonic();
    let number = cpu_number();
    let Some(mut cpu) = streams::cpu(number) else {
        return;
    };
    atomic_add(&mut cpu.seen, 1);
    let request = Request::first(ctx);
    let Some(operation) = request.operation() else {
        atomic_add(&mut cpu.not_io, 1);
        return;
    };
    let (major, minor) = request.device();
    let Some(device) = streams::device(device_key(major, minor)) else {
        atomic_add(&mut cpu.no_device, 1);
        return;
    };
    let bytes = argument::<2>(ctx) as u32;
    let is_owned = request.has_bio();
    let cgroup = if is_owned { request.cgroup() } else { 0 };
    let is_last = bytes >= request.bytes_left() && !(is_owned && request.in_flush_sequence());
    let operation = kind(request, operation, bytes) as u32;
    let (account, stream) = match streams::stream(stream_key(cgroup, device, operation)) {
        Some(stream) => (streams::account(number, stream), stream),
        None => (
            streams::account_of_others(device, operation),
            other_stream(device, operation),
        ),
    };
    let Some(mut account) = account else {
        return;
    };
    if bytes != 0 {
        atomic_add(&mut account.bytes, bytes as u64);
    }
    if !is_last {
        atomic_add(&mut cpu.partial, 1);
        return;
    }
    let times = times(ctx, request, done, account);
    count(account, times);
    if argument::<1>(ctx) as u32 != 0 {
        atomic_add(&mut account.errors, 1);
    }
    atomic_add(&mut account.requests, 1);
    let start = if times.start == 0 {
        times.issued
    } else {
        times.start
    };
    let sampled = streams::control().map_or(0, |control| control.sampled & 31);
    if start != 0 && in_observed_piece(start, done, sampled) {
        let record = Record {
            start,
            issued: times.issued,
            done,
            bytes,
            stream,
        };
        streams::record(number, cpu, record);
    }
}

/// A write without data is the end of a flush that somebody asked for.
#[inline(always)]
fn kind(request: Request, operation: Operation, bytes: u32) -> Operation {
    if operation as u32 == Operation::Write as u32 && bytes == 0 && !request.has_data() {
        Operation::Flush
    } else {
        operation
    }
}

#[inline(always)]
fn times(
    ctx: &BtfTracePointContext,
    request: Request,
    done: u64,
    mut account: Value<Stream>,
) -> Times {
    // The kernel may take the creation from a plug's clock, which is early, and never late.
    let start = known(request.start(), done);
    let mut issued = known(request.issued(), done);
    if issued == 0 && streams::control().is_some_and(|control| control.issues != 0) {
        issued = streams::issue(address(ctx, 0), start, done).unwrap_or(0);
        if issued != 0 {
            atomic_add(&mut account.seen_issued, 1);
        }
    }
    Times {
        start,
        issued: if issued < start { 0 } else { issued },
        done,
    }
}

/// A time that lies ahead is none.
#[inline(always)]
fn known(time: u64, now: u64) -> u64 {
    if time > now { 0 } else { time }
}

#[inline(always)]
fn count(mut account: Value<Stream>, times: Times) {
    let Times {
        start,
        issued,
        done,
    } = times;
    if start == 0 {
        atomic_add(&mut account.untimed, 1);
    } else {
        streams::count(&mut account.total, done - start);
    }
    if issued == 0 {
        if start == 0 {
            atomic_add(&mut account.unseen, 1);
        } else {
            atomic_add(&mut account.unissued, 1);
            atomic_add(&mut account.undivided_ns, done - start);
        }
        return;
    }
    streams::count(&mut account.device, done - issued);
    if start != 0 {
        atomic_add(&mut account.device_ns, done - issued);
        atomic_add(&mut account.queue_ns, issued - start);
        streams::count(&mut account.queue, issued - start);
    }
}

/// `block_rq_issue([queue, ]request)`.
#[inline(always)]
pub(crate) fn issued(ctx: &BtfTracePointContext) {
    streams::note_issue(address(ctx, Request::issued_at()), monotonic());
}

#[inline(always)]
fn cpu_number() -> u32 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_smp_processor_id() }
}
