use std::mem::offset_of;

use agent_ebpf::{
    cause::Cause,
    delays::{self, Place},
    layout::{
        CGROUP_WAYS, Cell, Cpu, FREE_SLOTS, cgroup_bucket, cgroup_entry, cgroup_entry_owner,
        pair_key,
    },
    owner::{KernelFamily, SLOT_FIRST_CGROUP},
};

use super::*;
use crate::{
    kernel::{maps::Shape, system::monotonic_ns},
    sample::Counts,
};

const SHAPE: Shape = Shape {
    cpus: 2,
    slots: 64,
    shards: 2,
};
const ONLINE: [u32; 2] = [0, 1];
/// That of all waits.
const BUCKET: u32 = 7;
const A: CgroupId = CgroupId(101);
const B: CgroupId = CgroupId(102);

/// What the programs do, on maps of the same memory.
struct Host {
    reader: Reader,
}

impl Host {
    fn new(cgroups: &[CgroupId]) -> Host {
        let maps = Maps::private(SHAPE);
        Host {
            reader: Reader::new(maps, cgroups.iter().copied(), &ONLINE),
        }
    }

    fn maps(&self) -> &Maps {
        &self.reader.maps
    }

    fn read(&mut self) -> Reading {
        self.reader.read(&ONLINE)
    }

    /// The owner of a cgroup, which the CPU gives a slot where it has none.
    fn owner(&self, cpu: u32, id: CgroupId) -> Owner {
        let maps = self.maps();
        let bucket = cgroup_bucket(id.0);
        let entries: [u64; CGROUP_WAYS] = maps.cgroups.words(bucket);
        if let Some(owner) = entries
            .iter()
            .find_map(|entry| cgroup_entry_owner(*entry, id.0))
        {
            return Owner(owner);
        }
        let head = maps.cpus.half(cpu, offset_of!(Cpu, free.head));
        if head == maps.cpus.half(cpu, offset_of!(Cpu, free.tail)) {
            return Owner::OTHER;
        }
        let place = offset_of!(Cpu, free.owners) + 4 * (head % FREE_SLOTS) as usize;
        let owner = Owner(maps.cpus.half(cpu, place));
        maps.cpus
            .set_half(cpu, offset_of!(Cpu, free.head), head.wrapping_add(1));
        let slot = owner.slot();
        maps.holders.set_word(slot, 0, id.0);
        let way = entries.iter().position(|entry| *entry == 0).unwrap();
        let entry = cgroup_entry(id.0, owner.0);
        maps.cgroups.set_word(bucket, 8 * way, entry);
        owner
    }

    fn add(&self, cpu: u32, owner: Owner, offset: usize, more: u64) {
        let index = self.maps().cell_index(cpu, owner.slot());
        let word = self.maps().cells.word(index, offset) + more;
        self.maps().cells.set_word(index, offset, word);
    }

    fn run(&self, cpu: u32, owner: Owner, ns: u64) {
        self.add(cpu, owner, offset_of!(Cell, run_ns), ns);
    }

    fn wait(&self, cpu: u32, victim: Owner, culprit: Owner, ns: u64) {
        let wait = offset_of!(Cell, wait_ns) + 8 * Cause::Neighbor as usize;
        self.add(cpu, victim, wait, ns);
        self.count(cpu, victim);
        self.maps()
            .pairs
            .set_word(cpu, 0, pair_key(victim.0, culprit.0));
        let before = self.maps().pairs.word(cpu, 8);
        self.maps().pairs.set_word(cpu, 8, before + ns);
    }

    fn count(&self, cpu: u32, victim: Owner) {
        self.add(cpu, victim, offset_of!(Cell, waits), 1);
        let (place, delays) = (Place::of(victim.slot()), &self.maps().delays);
        let line = delays::index(cpu, BUCKET, place.line, SHAPE.slots);
        let count = delays.half(line, 4 * place.count);
        delays.set_half(line, 4 * place.count, count + 1);
    }

    fn is_current(&self, owner: Owner) -> [bool; 2] {
        let offset = offset_of!(Cpu, generations) + owner.slot() as usize;
        ONLINE.map(|cpu| {
            let word = self.maps().cpus.word(cpu, offset);
            word.to_le_bytes()[offset % 8] == owner.generation()
        })
    }

    fn set_cpu(&self, cpu: u32, offset: usize, word: u64) {
        self.maps().cpus.set_word(cpu, offset, word);
    }

    /// A switch at `now`, of both clocks, that lets `owner` run.
    fn switch(&self, cpu: u32, owner: Owner, now: u64) {
        for offset in [
            offset_of!(Cpu, last_switch),
            offset_of!(Cpu, sync_rq_clock),
            offset_of!(Cpu, sync_monotonic),
        ] {
            self.set_cpu(cpu, offset, now);
        }
        self.set_cpu(cpu, offset_of!(Cpu, open_owner), u64::from(owner.0));
        for offset in [offset_of!(Cpu, seen), offset_of!(Cpu, accounted)] {
            let count = self.maps().cpus.word(cpu, offset);
            self.set_cpu(cpu, offset, count + 1);
        }
    }
}

fn party(id: CgroupId) -> Party {
    Party::Cgroup(id)
}

#[test]
fn accounts_of_all_cpus_and_blame_add_up() {
    let mut host = Host::new(&[A]);
    let (a, b) = (host.owner(0, A), host.owner(1, B));
    assert_ne!(a.slot(), b.slot());
    host.run(0, a, 100);
    host.run(1, a, 20);
    host.run(1, b, 3);
    host.run(1, Owner::IDLE, 50);
    host.run(0, Owner::kernel(KernelFamily::Rcu), 9);
    host.wait(0, a, b, 40);
    host.wait(1, a, b, 2);
    let reading = host.read();
    let account = &reading.accounts[&party(A)];
    assert_eq!((account.run_ns, account.wait(Cause::Neighbor)), (120, 42));
    assert_eq!((account.waits, account.delay[7]), (2, 2));
    assert_eq!(
        reading.accounts[&Party::Kernel(KernelFamily::Rcu)].run_ns,
        9
    );
    assert_eq!(
        reading.blame,
        [((party(A), party(B)), 42)].into_iter().collect()
    );
    let cpus: Vec<CpuTime> = reading.cpus.iter().flatten().copied().collect();
    assert_eq!((cpus[0].run_ns, cpus[0].idle_ns), (109, 0));
    assert_eq!((cpus[1].run_ns, cpus[1].idle_ns), (23, 50));
    assert_eq!(reading.active, [(A, 162), (B, 3)].into());
    assert_eq!(host.read().active, [].into());
}

#[test]
fn a_slice_that_has_not_ended_counts() {
    let mut host = Host::new(&[A]);
    let a = host.owner(0, A);
    let start = monotonic_ns() - 5_000_000;
    host.switch(0, a, start);
    host.switch(1, Owner::IDLE, start);
    let first = host.read();
    let run = first.accounts[&party(A)].run_ns;
    let later = monotonic_ns() - start;
    assert!((5_000_000..=later).contains(&run), "{run} of {later}");
    let cpu = first.cpus[0].unwrap();
    assert_eq!((cpu.run_ns, cpu.idle_ns), (run, 0));
    assert!(first.cpus[1].unwrap().idle_ns >= 5_000_000);
    assert_eq!(first.active, [(A, 0)].into());

    // The slice ended, and a part of it was stolen.
    host.run(0, a, 4_000_000);
    host.add(0, a, offset_of!(Cell, steal_ns), 1_000_000);
    host.switch(0, Owner::IDLE, monotonic_ns());
    let second = host.read();
    assert_eq!(second.accounts[&party(A)].run_ns, run);
    assert_eq!(second.cpus[0].unwrap().steal_ns, 1_000_000);
    assert_eq!(second.health.seen, 3);
}

#[test]
fn an_offline_cpu_is_none_and_its_open_slice_is_not_counted() {
    let mut host = Host::new(&[A]);
    let a = host.owner(1, A);
    host.run(1, a, 7);
    host.switch(1, a, monotonic_ns() - 5_000_000);
    let reading = host.reader.read(&[0]);
    assert!(reading.cpus[0].is_some() && reading.cpus[1].is_none());
    assert_eq!(reading.accounts[&party(A)].run_ns, 7);
}

#[test]
fn a_slot_is_emptied_and_given_to_another_without_a_loss() {
    let mut host = Host::new(&[]);
    let (a, b) = (host.owner(0, A), host.owner(0, B));
    host.run(0, a, 100);
    host.wait(0, b, a, 11);
    host.count(1, a);
    let before = host.read();
    assert_eq!(before.accounts[&party(A)].delay[BUCKET as usize], 1);
    assert_eq!(host.is_current(a), [true, true]);
    for _ in 0..2 {
        host.reader.scanned(|id| id == B);
    }
    let mut last = before.clone_totals();
    for _ in 0..5 {
        let reading = host.read();
        assert_eq!(reading.cpus[0], before.cpus[0]);
        let totals = reading.clone_totals();
        assert!(totals.is_empty() || totals == last, "{totals:?}");
        last = totals;
    }
    assert!(!host.reader.slots.holds(A));
    assert_eq!(host.is_current(a), [false, false]);
    assert_eq!(host.is_current(b), [true, true]);
    let index = host.maps().cell_index(0, a.slot());
    assert_eq!(host.maps().cells.word(index, 0), 0);
    assert_eq!(host.maps().slot_id(a.slot()), None);

    // The old owner is still named by a history, and means nobody else.
    let others: Vec<CgroupId> = (200..231).map(CgroupId).collect();
    for id in &others {
        host.run(0, b, 1);
        let owner = host.owner(0, *id);
        host.run(0, owner, 1);
        host.read();
    }
    assert!(host.reader.slots.holder(a.slot()).is_some());
    assert_eq!(host.is_current(a.next()), [true, true]);
    host.wait(1, b, a, 5);
    let reading = host.read();
    assert_eq!(reading.blame.get(&(party(B), party(A))), Some(16));
    let of_others = others
        .iter()
        .filter_map(|id| reading.accounts.get(&party(*id)));
    for account in of_others {
        assert_eq!((account.run_ns, &account.delay), (1, &Counts::default()));
    }
}

impl Reading {
    /// What is known of `A`.
    fn clone_totals(&self) -> Vec<(u64, u64)> {
        let account = self.accounts.get(&party(A));
        let blame = self.blame.get(&(party(B), party(A)));
        let totals = account.zip(blame);
        totals
            .map(|(account, blame)| (account.run_ns, blame))
            .into_iter()
            .collect()
    }
}

#[test]
fn free_lists_never_promise_more_than_there_is() {
    let mut host = Host::new(&[]);
    let mut owners = Vec::new();
    for id in 0..200 {
        for cpu in ONLINE {
            owners.push((
                cpu,
                host.owner(cpu, CgroupId(1_000 + 2 * id + u64::from(cpu))),
            ));
        }
        // All run again and again, so that nobody gives way.
        for (cpu, owner) in &owners {
            host.run(*cpu, *owner, 1);
        }
        host.read();
    }
    let slots = (SHAPE.slots - SLOT_FIRST_CGROUP) as usize;
    let with_slot = owners.iter().filter(|(_, owner)| *owner != Owner::OTHER);
    assert_eq!(with_slot.count(), slots);
    let reading = host.read();
    let is_named = |party: &&Party| matches!(party, Party::Cgroup(_));
    assert_eq!(reading.accounts.keys().filter(is_named).count(), slots);
    assert!(reading.accounts[&Party::Other].run_ns > 0);
}

#[test]
fn the_active_get_slots_however_many_are_idle() {
    let mut host = Host::new(&[]);
    let (mut total, mut last) = (0, BTreeMap::new());
    let mut read = |host: &mut Host, total: u64| {
        let reading = host.read();
        let run: BTreeMap<Party, u64> = reading
            .accounts
            .iter()
            .map(|(party, account)| (*party, account.run_ns))
            .collect();
        assert_eq!(run.values().sum::<u64>(), total);
        for (party, before) in &last {
            assert!(run[party] >= *before, "{party:?}");
        }
        host.reader.scanned(|_| true);
        last = run;
    };
    // Ten for each slot, which exist, ran once, and are idle since.
    for id in 0..320 {
        let owner = host.owner(0, CgroupId(1_000 + id));
        host.run(0, owner, 1);
        total += 1;
        read(&mut host, total);
    }
    let active: Vec<CgroupId> = (5_000..5_016).map(CgroupId).collect();
    let mut owners = Vec::new();
    for _ in 0..20 {
        owners = active.iter().map(|id| host.owner(1, *id)).collect();
        for owner in &owners {
            host.run(1, *owner, 1);
            total += 1;
        }
        read(&mut host, total);
    }
    assert!(!owners.contains(&Owner::OTHER), "{owners:?}");

    // Who was idle for long goes on where it was.
    let back = CgroupId(1_000);
    let owner = host.owner(0, back);
    host.run(0, owner, 1);
    read(&mut host, total + 1);
    assert_eq!(host.read().accounts[&party(back)].run_ns, 2);
}

/// Prints what a reading of 1,000 cgroups on 64 CPUs costs, all of them active; promised is less
/// than 1 % of a core once a second. Only an optimised build on a quiet machine says anything.
#[test]
fn cost_of_a_reading() {
    let shape = Shape {
        cpus: 64,
        slots: 1024,
        shards: 16,
    };
    let online: Vec<u32> = (0..shape.cpus).collect();
    let ids = (1..=900).map(CgroupId);
    let reader = Reader::new(Maps::private(shape), ids.clone(), &online);
    let mut host = Host { reader };
    let owners: Vec<Owner> = ids
        .map(|id| {
            if id.0 % 100 == 0 {
                host.reader.read(&online);
            }
            host.owner(id.0 as u32 % shape.cpus, id)
        })
        .collect();
    for round in 1..=5 {
        for (at, owner) in (0..).zip(&owners) {
            for cpu in 0..shape.cpus {
                host.run(cpu, *owner, 1);
                host.add(cpu, *owner, offset_of!(Cell, waits), 1);
                let (set, culprit) = (cpu * 512 + at % 512, owners[at as usize / 2]);
                let way = 16 * (at as usize / 512);
                let key = pair_key(owner.0, culprit.0);
                host.maps().pairs.set_word(set, way, key);
                host.maps().pairs.set_word(set, way + 8, round);
            }
        }
        let start = monotonic_ns();
        let reading = host.reader.read(&online);
        let spent = (monotonic_ns() - start) / 1_000;
        let rows = (reading.accounts.len(), reading.blame.len());
        println!("{} accounts and {} pairs in {spent} us", rows.0, rows.1);
        assert!(rows.0 > 800 && rows.1 > 800, "{rows:?}");
    }
}
