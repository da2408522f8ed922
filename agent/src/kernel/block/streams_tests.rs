use super::*;
use crate::kernel::block::maps::Shape;
use agent_ebpf::block::{Keys, device_key, device_set, stream_key};

const SHAPE: Shape = Shape {
    cpus: 2,
    shards: 2,
    records: 8,
};
const DISK: DeviceId = DeviceId { major: 8, minor: 0 };

/// A device in its place, and a stream in some place.
fn scene(cgroup: u64, place: u32) -> BlockMaps {
    let maps = BlockMaps::private(SHAPE);
    let device = device_key(DISK.major, DISK.minor);
    maps.put_device(device_set(device), device);
    let number = device_set(device) * Keys::default().keys.len() as u32;
    maps.set_key(place, stream_key(cgroup, number, Operation::Write as u32));
    maps
}

fn stream(cgroup: u64) -> Stream {
    Stream {
        owner: DiskOwner::Cgroup(CgroupId(cgroup)),
        device: DISK,
        operation: Operation::Write,
    }
}

/// So many requests, all but those of bucket 7 in bucket 6 of the total time.
fn put(maps: &BlockMaps, account: u32, requests: u64, bytes: u64, long: u64) {
    maps.put(account, offset_of!(block::Stream, bytes), bytes);
    maps.put(
        account,
        offset_of!(block::Stream, device_ns),
        requests * 1000,
    );
    let pair = offset_of!(block::Stream, total) + 6 * 4;
    maps.put(account, pair, (requests - long) | long << 32);
}

fn read(streams: &mut Streams, maps: &BlockMaps) {
    streams.find_new(maps);
    streams.read(maps);
}

#[test]
fn shards_add_up_and_the_rest_is_short() {
    let maps = scene(42, 9);
    let mut streams = Streams::new();
    let accounts: Vec<u32> = maps.accounts_of(9).collect();
    put(&maps, accounts[0], 10, 4096, 3);
    put(&maps, accounts[1], 5, 1024, 1);
    read(&mut streams, &maps);
    let account = &streams.totals[&stream(42)].account;
    assert_eq!((account.requests, account.bytes), (15, 5120));
    assert_eq!((account.total[7], account.total[6]), (4, 11));
    assert_eq!((account.queue[0], account.device_ns), (15, 15_000));
    put(&maps, accounts[1], 6, 1024, 2);
    read(&mut streams, &maps);
    let account = &streams.totals[&stream(42)].account;
    assert_eq!(
        (account.requests, account.total[7], account.total[6]),
        (16, 5, 11)
    );
}

#[test]
fn a_place_goes_to_another_without_a_loss() {
    let maps = scene(42, 9);
    let mut streams = Streams::new();
    let account = maps.accounts_of(9).next().unwrap();
    put(&maps, account, 10, 40, 0);
    read(&mut streams, &maps);
    let nobody = |_: &Stream| false;
    // One scan may have missed it.
    streams.scanned(&maps, &nobody, &|_| true);
    assert_eq!(streams.in_place(9), Some(stream(42)));
    assert_ne!(maps.key(9), RETIRED);
    streams.scanned(&maps, &nobody, &|_| true);
    assert_eq!(maps.key(9), RETIRED);
    // What was under way is accounted.
    put(&maps, account, 11, 44, 0);
    let now = Duration::from_secs(100);
    for _ in 0..=READINGS {
        read(&mut streams, &maps);
        streams.turn(&maps, now);
    }
    assert_eq!((maps.key(9), streams.in_place(9)), (0, None));
    assert_eq!(streams.totals[&stream(42)].account.requests, 11);

    let device = maps.devices().next().unwrap().0;
    maps.set_key(9, stream_key(43, device, Operation::Write as u32));
    put(&maps, account, 1, 7, 0);
    read(&mut streams, &maps);
    assert_eq!(streams.totals[&stream(43)].account.requests, 1);
    assert_eq!(streams.totals[&stream(42)].account.requests, 11);
    assert_eq!(streams.forget(now + TOLD), []);
    let later = now + TOLD + Duration::from_secs(1);
    assert_eq!(streams.forget(later), [stream(42)]);
    let unnamed = super::nobody(&stream(42));
    assert_eq!(streams.totals[&unnamed].account.requests, 11);
    assert_eq!(streams.without_place, 0);
}

#[test]
fn who_works_keeps_the_place() {
    let maps = scene(42, 9);
    let mut streams = Streams::new();
    let account = maps.accounts_of(9).next().unwrap();
    for requests in 1..5 {
        put(&maps, account, requests, 0, 0);
        read(&mut streams, &maps);
        streams.scanned(&maps, &|_| false, &|_| false);
        assert_ne!(maps.key(9), RETIRED);
    }
}

#[test]
fn a_device_that_is_gone_leaves_its_place() {
    let maps = scene(42, 9);
    let mut streams = Streams::new();
    let place = maps.devices().next().unwrap().0;
    put(&maps, maps.other(place, Operation::Read), 3, 9, 0);
    read(&mut streams, &maps);
    let others = Stream {
        owner: DiskOwner::Other,
        device: DISK,
        operation: Operation::Read,
    };
    assert_eq!(streams.totals[&others].account.requests, 3);
    for _ in 0..5 {
        read(&mut streams, &maps);
        streams.turn(&maps, Duration::ZERO);
        streams.scanned(&maps, &|_| false, &|_| false);
    }
    assert_eq!(maps.devices().count(), 0);
}
