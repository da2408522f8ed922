use expect_test::expect;

use crate::{
    cli::report::{
        args::By,
        findings::Question,
        fixture::{about, calm, noisy_disk, question, slow_disk},
        text::tests::{check, plain},
    },
    model::fixture::{Scene, disk::reads},
    sample::{
        CgroupId,
        disk::{DeviceId, DiskOwner},
    },
};

#[test]
fn a_noisy_neighbor_on_a_disk_in_a_pipe() {
    check(
        &noisy_disk(),
        question(),
        None,
        &expect![[r"
            HOST HURTS 1 OF 2: db.service waited 78 ms per request on vda (writes, p99 272 ms) over 10 s: 69 % behind backup.service's requests, 28 % the device itself, 3 % behind requests of others
              Why: vda served backup.service (512 requests/s, 34 MB/s) meanwhile (noisy neighbor)
              What helps: limit backup.service on vda (io.max), or move one of them to another disk
              backup.service waited 52 ms per request on vda (reads, p99 52 ms): 83 % behind its own requests, 10 % the device itself, 8 % behind db.service's requests; vda served it for longer than any neighbor

                            CPUs    CPUs    lost to            p99        CPUs
            entity          used  waited  neighbors  causes  delay  fair share
            db.service      0.05       0        0 %                       1.00
            backup.service  0.10       0        0 %                       1.00

                                                     queue   queue  device  device   total
            entity          disk        req/s  MB/s    p50     p99     p50     p99     p99  causes
            db.service      vda write     102   6.7  68 ms  192 ms   10 ms   48 ms  272 ms  neighbor 72 %, device 28 %
            backup.service  vda read      512    34  41 ms   44 ms   12 ms   13 ms   52 ms  self 83 %, device 10 %, neighbor 8 %
            device          vda flush      10   0.7  <1 µs    1 µs    6 ms  6.6 ms  6.6 ms  device 100 %
            db.service      loop0 read    5.0   0.3  94 µs  102 µs   10 ms   11 ms   13 ms  device 100 %

            Host web-1: 0.15 of 2 CPUs busy, 0 in interrupts, 0 stolen, 1.85 idle; tasks waited for 0
            Disks: vda 664 requests/s, 44 MB/s, 52 ms each; loop0 (/srv/data.img; through other disks, not counted) 5.0 requests/s, 0.3 MB/s, 11 ms each
            Not included: time before a request exists: io.max, wbt, iocost, waiting for a tag
            Observed from 2025-06-15T15:06:40Z on, kernel 6.12.0, cgroups v2, crosstalk 0.1.0
            Not known: this kernel keeps no sum of waits of its own to compare with
            Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
        "]],
    );
}

#[test]
fn a_noisy_neighbor_on_a_disk_in_80_columns() {
    check(
        &noisy_disk(),
        question(),
        Some(80),
        &expect![[r"
            HOST HURTS 1 OF 2: db.service waited 78 ms per request on vda (writes, p99
              272 ms) over 10 s: 69 % behind backup.service's requests, 28 % the device
              itself, 3 % behind requests of others
              Why: vda served backup.service (512 requests/s, 34 MB/s) meanwhile (noisy
                neighbor)
              What helps: limit backup.service on vda (io.max), or move one of them to
                another disk
              backup.service waited 52 ms per request on vda (reads, p99 52 ms): 83 % behind
                its own requests, 10 % the device itself, 8 % behind db.service's requests;
                vda served it for longer than any neighbor

                            CPUs    CPUs    lost to            p99        CPUs
            entity          used  waited  neighbors  causes  delay  fair share
            db.service      0.05       0        0 %                       1.00
            backup.service  0.10       0        0 %                       1.00

                                                      queue  device   total
            entity          disk        req/s  MB/s     p99     p99     p99  causes
            db.service      vda write     102   6.7  192 ms   48 ms  272 ms  neighbor 72 %
            backup.service  vda read      512    34   44 ms   13 ms   52 ms  self 83 %
            device          vda flush      10   0.7    1 µs  6.6 ms  6.6 ms  device 100 %
            db.service      loop0 read    5.0   0.3  102 µs   11 ms   13 ms  device 100 %

            Host web-1: 0.15 of 2 CPUs busy, 0 in interrupts, 0 stolen, 1.85 idle; tasks
              waited for 0
            Disks: vda 664 requests/s, 44 MB/s, 52 ms each; loop0 (/srv/data.img; through
              other disks, not counted) 5.0 requests/s, 0.3 MB/s, 11 ms each
            Not included: time before a request exists: io.max, wbt, iocost, waiting for a
              tag
            Observed from 2025-06-15T15:06:40Z on, kernel 6.12.0, cgroups v2, crosstalk
              0.1.0
            Not known: this kernel keeps no sum of waits of its own to compare with
            Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the
              network
        "]],
    );
}

#[test]
fn a_noisy_neighbor_on_a_disk_in_120_columns() {
    check(
        &noisy_disk(),
        question(),
        Some(120),
        &expect![[r"
            HOST HURTS 1 OF 2: db.service waited 78 ms per request on vda (writes, p99 272 ms) over 10 s: 69 % behind
              backup.service's requests, 28 % the device itself, 3 % behind requests of others
              Why: vda served backup.service (512 requests/s, 34 MB/s) meanwhile (noisy neighbor)
              What helps: limit backup.service on vda (io.max), or move one of them to another disk
              backup.service waited 52 ms per request on vda (reads, p99 52 ms): 83 % behind its own requests, 10 % the device
                itself, 8 % behind db.service's requests; vda served it for longer than any neighbor

                            CPUs    CPUs    lost to            p99        CPUs
            entity          used  waited  neighbors  causes  delay  fair share
            db.service      0.05       0        0 %                       1.00
            backup.service  0.10       0        0 %                       1.00

                                                     queue   queue  device  device   total
            entity          disk        req/s  MB/s    p50     p99     p50     p99     p99  causes
            db.service      vda write     102   6.7  68 ms  192 ms   10 ms   48 ms  272 ms  neighbor 72 %, device 28 %
            backup.service  vda read      512    34  41 ms   44 ms   12 ms   13 ms   52 ms  self 83 %, device 10 %, neighbor 8 %
            device          vda flush      10   0.7  <1 µs    1 µs    6 ms  6.6 ms  6.6 ms  device 100 %
            db.service      loop0 read    5.0   0.3  94 µs  102 µs   10 ms   11 ms   13 ms  device 100 %

            Host web-1: 0.15 of 2 CPUs busy, 0 in interrupts, 0 stolen, 1.85 idle; tasks waited for 0
            Disks: vda 664 requests/s, 44 MB/s, 52 ms each; loop0 (/srv/data.img; through other disks, not counted) 5.0 requests/s,
              0.3 MB/s, 11 ms each
            Not included: time before a request exists: io.max, wbt, iocost, waiting for a tag
            Observed from 2025-06-15T15:06:40Z on, kernel 6.12.0, cgroups v2, crosstalk 0.1.0
            Not known: this kernel keeps no sum of waits of its own to compare with
            Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
        "]],
    );
}

#[test]
fn a_slow_disk_a_limited_job_and_doubts() {
    check(
        &slow_disk(),
        question(),
        Some(100),
        &expect![[r"
            CALM: no neighbor slowed down any of 2 entities over 10 s

            Without a neighbor's doing
              job.service waited for I/O for 7.6 s that no request explains: it looks as if its io.max held it
                back
              db.service waited 20 ms per request on sda (reads, p99 22 ms): 88 % the device itself, 10 % not
                known, 2 % behind requests of others

                                                  queue  device  total
            entity       disk       req/s  MB/s     p99     p99    p99  causes
            db.service   sda read      40   2.6  1.2 ms   22 ms  22 ms  device 88 %, unattributed 10 %
            job.service  sda write    2.0   0.1  1.2 ms   22 ms  22 ms  device 100 %

            Host web-1: 0 of 2 CPUs busy, 0 in interrupts, 0 stolen, 2.00 idle; tasks waited for 0
            Disks: sda 42 requests/s, 2.8 MB/s, 20 ms each
            Not included: time before a request exists: io.max, wbt, iocost, waiting for a tag
            Observed from 2025-06-15T15:06:40Z on, kernel 6.12.0, cgroups v2, crosstalk 0.1.0
            With care: there were so many requests that where their time went was observed in one of 8 pieces of
              time; how long they took is known of all
            With care: where the time of 10 % of all requests went was lost; how long they took is known of all
            With care: 10 % of all time of requests has no known cause
            With care: there were more cgroups with requests, or devices, than the maps hold: 3 requests are
              accounted together as `other`, or not at all
            Not known: this kernel keeps no sum of waits of its own to compare with
            Not known: this kernel does not tell queue time from device time for requests to sda
            Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
        "]],
    );
}

#[test]
fn a_cgroup_that_only_had_requests_can_be_asked_for() {
    let mut scene = calm();
    let vda = scene.disk(0, "vda");
    let inner = scene.disk_cgroup(70, "/db.service/inner");
    scene.requests(reads(inner, vda), 10, [0.0, 0.001]);
    let text = plain(&scene, about("*inner"), None);
    let expected = "CALM: no neighbor slowed down the only entity (matching '*inner') that ran";
    assert!(text.starts_with(expected), "{text}");
}

/// A victim whose requests took 20 ms each, a tenth of that by themselves.
fn victim_of(culprits: &[(DiskOwner, f64)], mut scene: Scene, vda: DeviceId) -> String {
    let db = scene.disk_cgroup(2, "/db.service");
    scene.requests(reads(db, vda), 100, [0.010, 0.010]);
    scene.attributed(reads(db, vda), 0.2, culprits);
    let text = plain(&scene, question(), None);
    let told = text.lines().take_while(|line| !line.is_empty());
    told.collect::<Vec<_>>().join("\n")
}

#[test]
fn whoever_made_requests_wait() {
    let new = || {
        let mut scene = Scene::new(1);
        let vda = scene.disk(0, "vda");
        (scene, vda)
    };
    let (mut scene, vda) = new();
    let crowd: Vec<(DiskOwner, f64)> = (10..20)
        .map(|id| (scene.disk_cgroup(id, format!("/small{id}")), 0.18))
        .collect();
    let told = [
        victim_of(&crowd, scene, vda),
        victim_of(&[(DiskOwner::Other, 1.8)], new().0, vda),
        victim_of(&[(DiskOwner::Device, 1.8)], new().0, vda),
        victim_of(&[(DiskOwner::Cgroup(CgroupId(1)), 1.8)], new().0, vda),
    ];
    expect![[r"
        HOST HURTS 1 OF 1: db.service waited 20 ms per request on vda (reads, p99 22 ms) over 10 s: 90 % behind requests of 10 others, none of them large, 10 % the device itself
          Why: vda served requests of others meanwhile
        HOST HURTS 1 OF 1: db.service waited 20 ms per request on vda (reads, p99 22 ms) over 10 s: 90 % behind requests of others without a name, 10 % the device itself
          Why: not known: whoever was served has no name in this account
        HOST HURTS 1 OF 1: db.service waited 20 ms per request on vda (reads, p99 22 ms) over 10 s: 90 % behind flushes that nobody owns, 10 % the device itself
          Why: vda served flushes that nobody owns meanwhile
        HOST HURTS 1 OF 1: db.service waited 20 ms per request on vda (reads, p99 22 ms) over 10 s: 90 % behind the root cgroup's requests, 10 % the device itself
          Why: vda served the root cgroup meanwhile
          What helps: find out whose requests the root cgroup has: those of cgroups without the io controller are among them (IOAccounting=yes tells services apart)"]].assert_eq(&told.join("\n"));
}

#[test]
fn a_calm_host_does_not_tell_of_few_requests() {
    let mut scene = calm();
    let vda = scene.disk(0, "vda");
    let web = scene.disk_cgroup(2, "/web.service");
    scene.requests(reads(web, vda), 1_000, [0.000_01, 0.000_1]);
    scene.attributed(reads(web, vda), 0.1, &[]);
    let few = plain(&scene, question(), None);
    assert!(!few.contains("vda"), "{few}");
    scene.disk_account(reads(web, vda)).errors = 10;
    let failed = plain(&scene, question(), None);
    let expected = "Disks: vda 100 requests/s, 6.6 MB/s, 110 µs each, 10 failed (1 %)";
    assert!(failed.contains(expected), "{failed}");
}

#[test]
fn a_device_has_no_name_that_a_terminal_obeys() {
    let mut scene = noisy_disk();
    for disk in scene.disks() {
        for device in disk.devices.values_mut() {
            device.name.push_str("\x1b[31m");
            device.label = Some("\r\n".into());
        }
    }
    let by_cgroup = Question {
        by: By::Cgroup,
        ..question()
    };
    plain(&scene, question(), Some(80));
    plain(&scene, by_cgroup, None);
}
