//! Block I/O: accounts each request when it is completed.
//!
//! While a request carries its own times, no state is kept between its issue and its completion.

use agent_ebpf::{
    block::{Operation, Record, device_key, in_observed_piece, other_stream, stream_key},
    bucket::ZERO_BUCKET,
};
use aya_ebpf::{helpers::bpf_get_smp_processor_id, programs::BtfTracePointContext};

use crate::{
    kernel::argument,
    maps::bucket_of,
    request::{Request, address, monotonic},
    streams::{self, Account, Run},
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
    if let Some(run) = Run::begin(cpu_number()) {
        account(ctx, run, done);
        run.end();
    }
}

#[inline(always)]
fn account(ctx: &BtfTracePointContext, run: Run, done: u64) {
    let mut cpu = run.cpu;
    run.count(&mut cpu.seen);
    let request = Request::first(ctx);
    let Some(operation) = request.operation() else {
        run.count(&mut cpu.not_io);
        return;
    };
    let (major, minor) = request.device();
    let Some(device) = streams::device(device_key(major, minor)) else {
        run.count(&mut cpu.no_device);
        return;
    };
    let bytes = argument::<2>(ctx) as u32;
    let is_owned = request.has_bio();
    let cgroup = if is_owned { request.cgroup() } else { 0 };
    let is_last = bytes >= request.bytes_left() && !(is_owned && request.in_flush_sequence());
    let operation = kind(request, operation, bytes) as u32;
    let (account, stream) = match streams::stream(stream_key(cgroup, device, operation)) {
        Some(stream) => (run.account(stream), stream),
        None => (
            run.account_of_others(device, operation),
            other_stream(device, operation),
        ),
    };
    let Some(account) = account else {
        return;
    };
    let mut sums = account.stream;
    if bytes != 0 {
        account.add(&mut sums.bytes, bytes as u64);
    }
    if !is_last {
        run.count(&mut cpu.partial);
        return;
    }
    if argument::<1>(ctx) as u32 != 0 {
        account.add(&mut sums.errors, 1);
    }
    run.count(&mut cpu.accounted);
    let times = times(ctx, request, done, account);
    count(account, times);
    let start = if times.start == 0 {
        times.issued
    } else {
        times.start
    };
    let sampled = streams::control().map_or(0, |control| control.sampled & 31);
    if start != 0 && in_observed_piece(start, done, sampled) {
        run.record(Record {
            start,
            issued: times.issued,
            done,
            bytes,
            stream,
        });
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
fn times(ctx: &BtfTracePointContext, request: Request, done: u64, account: Account) -> Times {
    let start = known(request.start(), done);
    let mut issued = known(request.issued(), done);
    if issued == 0 && streams::control().is_some_and(|control| control.issues != 0) {
        issued = streams::issue(address(ctx, 0), start, done).unwrap_or(0);
        if issued != 0 {
            account.add(&mut account.stream.clone().seen_issued, 1);
        }
    }
    // Whoever issues it may have a clock of its own, from before (`blk_time_get_ns`).
    if issued != 0 && issued < start {
        issued = start;
    }
    Times {
        start,
        issued,
        done,
    }
}

/// A time that lies ahead is none.
#[inline(always)]
fn known(time: u64, now: u64) -> u64 {
    if time > now { 0 } else { time }
}

#[inline(always)]
fn count(account: Account, times: Times) {
    let Times {
        start,
        issued,
        done,
    } = times;
    let mut stream = account.stream;
    if start == 0 {
        account.add(&mut stream.untimed, 1);
        if issued == 0 {
            account.add(&mut stream.unseen, 1);
        } else {
            account.add(&mut stream.device_ns, done - issued);
            account.count(&mut stream.device, bucket_of(done - issued));
        }
        return;
    }
    let total = bucket_of(done - start);
    account.count(&mut stream.total, total);
    if issued == 0 {
        account.add(&mut stream.unissued, 1);
        account.add(&mut stream.undivided_ns, done - start);
        return;
    }
    account.add(&mut stream.device_ns, done - issued);
    let queue_ns = issued - start;
    if queue_ns == 0 {
        account.count(&mut stream.device, total);
        return;
    }
    account.count(&mut stream.device, bucket_of(done - issued));
    account.add(&mut stream.queue_ns, queue_ns);
    let queue = bucket_of(queue_ns);
    if queue != ZERO_BUCKET as u64 {
        account.count(&mut stream.queue, queue);
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
