//! How large the maps are.

use agent_ebpf::{
    block::MOST_STREAM_SHARDS,
    layout::{Settings, ThrottleMethod},
};

use crate::host::hierarchy::{HIERARCHY_ROOT, Hierarchy};

/// Histogram shards at most.
const MOST_SHARDS: u32 = 16;
/// Room for pairs of victim and culprit on all CPUs: four a set, 4 MiB.
const PAIR_SETS: u32 = 1 << 16;
/// On one CPU at least …
const LEAST_PAIR_SETS: u32 = 1 << 9;
/// … and at most: room for each of 100 cgroups with each.
const MOST_PAIR_SETS: u32 = 1 << 12;
/// Room for records of block requests on all CPUs: 4 MiB.
const RECORDS: u32 = 1 << 17;
/// On one CPU at least …
const LEAST_RECORDS: u32 = 1 << 9;
/// … and at most.
const MOST_RECORDS: u32 = 1 << 16;

/// Settings for so many CPUs.
pub fn settings(cpus: u32, hierarchy: &Hierarchy) -> Settings {
    let rounded = cpus.next_power_of_two();
    Settings {
        cpus,
        shards: rounded.min(MOST_SHARDS),
        throttle: ThrottleMethod::Unknown as u32,
        // Kernel threads are in the host's root, of whatever part is visible here.
        root_cgroup: HIERARCHY_ROOT.0,
        hierarchy: hierarchy.hierarchy_id,
        stream_shards: rounded.min(MOST_STREAM_SHARDS),
        records: (RECORDS / rounded).clamp(LEAST_RECORDS, MOST_RECORDS),
        pair_sets: (PAIR_SETS / rounded).clamp(LEAST_PAIR_SETS, MOST_PAIR_SETS),
        _pad: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::hierarchy::{Mode, Version};
    use crate::sample::CgroupId;

    #[test]
    fn maps_grow_with_the_cpus_up_to_a_bound() {
        let hierarchy = Hierarchy {
            version: Version::V2,
            mode: Mode::V2,
            mount: "/sys/fs/cgroup".into(),
            hierarchy_id: 0,
            root_id: CgroupId(4_711),
            cpuset_mount: None,
        };
        let sizes = |cpus| {
            let settings = settings(cpus, &hierarchy);
            let Settings {
                shards,
                stream_shards,
                records,
                pair_sets,
                ..
            } = settings;
            assert_eq!((settings.cpus, settings.root_cgroup), (cpus, 1));
            (shards, stream_shards, records, pair_sets)
        };
        assert_eq!(sizes(3), (4, 4, 1 << 15, 1 << 12));
        assert_eq!(sizes(64), (16, 8, 1 << 11, 1 << 10));
        assert_eq!(sizes(1024), (16, 8, 1 << 9, 1 << 9));
    }
}
