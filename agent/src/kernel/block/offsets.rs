//! Where this kernel keeps what the program reads of block requests.

use agent_ebpf::{block::BlockOffsets, layout::ABSENT};
use thiserror::Error;

use crate::kernel::btf::Btf;

/// `RQF_FLUSH_SEQ` while it was a macro (include/linux/blk-mq.h until 6.8).
const FLUSH_SEQUENCE: u32 = 1 << 4;
/// `REQ_OP_ZONE_APPEND` before it was an enumerator that BTF shows.
const ZONE_APPEND: u32 = 13;

/// A kernel on which block I/O cannot be accounted.
#[derive(Debug, Error)]
#[error("this kernel's BTF has no {0}: block I/O cannot be accounted here")]
pub struct BlockError(String);

/// Offsets and flags of requests.
pub fn resolve(btf: &Btf) -> Result<BlockOffsets, BlockError> {
    let required = |structure: &str, path: &[&str]| {
        let missing = || BlockError(format!("{structure}.{}", path.join(".")));
        let member = btf.member(structure, path).ok_or_else(missing)?;
        Ok(member.offset)
    };
    let optional = |structure, path: &[&str]| {
        btf.member(structure, path)
            .map_or(ABSENT, |member| member.offset)
    };
    let request = |name| required("request", &[name]);
    let request_disk = optional("request", &["rq_disk"]);
    let queue_disk = optional("request_queue", &["disk"]);
    if request_disk == ABSENT && queue_disk == ABSENT {
        return Err(BlockError("request_queue.disk".into()));
    }
    let flag = |name| btf.enumerator(name).map(|bit| 1 << (bit & 31));
    let group = optional("bio", &["bi_blkg"]);
    let of_group = |structure, path: &[&str]| match group {
        ABSENT => Ok(ABSENT),
        _ => required(structure, path),
    };
    Ok(BlockOffsets {
        arg_issued: issued_argument(btf)?,
        request_queue: request("q")?,
        request_cmd_flags: request("cmd_flags")?,
        request_flags: request("rq_flags")?,
        request_bytes: request("__data_len")?,
        request_bio: request("bio")?,
        request_start: request("start_time_ns")?,
        request_issued: request("io_start_time_ns")?,
        request_segments: request("nr_phys_segments")?,
        request_disk,
        queue_disk,
        disk_major: required("gendisk", &["major"])?,
        disk_minor: required("gendisk", &["first_minor"])?,
        bio_group: group,
        group_blkcg: of_group("blkcg_gq", &["blkcg"])?,
        blkcg_cgroup: of_group("blkcg", &["css", "cgroup"])?,
        flag_flush_sequence: flag("__RQF_FLUSH_SEQ").unwrap_or(FLUSH_SEQUENCE),
        flag_io_stat: flag("__RQF_IO_STAT").unwrap_or(0),
        op_zone_append: btf.enumerator("REQ_OP_ZONE_APPEND").unwrap_or(ZONE_APPEND),
        _pad: 0,
    })
}

/// As if the kernel noted in no request when it was issued.
pub fn without_issue_times(offsets: BlockOffsets) -> BlockOffsets {
    BlockOffsets {
        request_issued: ABSENT,
        ..offsets
    }
}

/// Where the request is among the arguments of `block_rq_issue`.
fn issued_argument(btf: &Btf) -> Result<u32, BlockError> {
    let arguments = btf.tracepoint("block_rq_issue").unwrap_or_default();
    (0u32..)
        .zip(arguments)
        .find(|(_, name)| *name == Some(b"request"))
        .map(|(at, _)| at)
        .ok_or_else(|| BlockError("tracepoint block_rq_issue with a request".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::btf::of_running_kernel;

    #[test]
    fn this_kernel_has_what_block_accounting_needs() {
        let Some(btf) = of_running_kernel("this_kernel_has_what_block_accounting_needs") else {
            return;
        };
        let offsets = resolve(&btf).expect("offsets of the running kernel");
        assert!(offsets.arg_issued < 2);
        assert_ne!(offsets.request_start, offsets.request_issued);
        assert_eq!(offsets.flag_flush_sequence.count_ones(), 1);
    }
}
