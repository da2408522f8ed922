use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const SLOTS: u32 = SLOT_FIRST_CGROUP + 6;

#[test]
fn a_slot_goes_round() {
    let mut slots = Slots::new(SLOTS);
    let (id, still) = (CgroupId(70), |_| false);
    let owner = slots.assign(id).unwrap();
    assert_eq!(slots.whose(owner), Whose::Present(Party::Cgroup(id)));
    slots.scanned(|_| false);
    assert_eq!(slots.step(still), []);
    slots.scanned(|_| false);
    let slot = owner.slot();
    assert_eq!(slots.step(still), [Step::Clear { id, owner }]);
    assert_eq!((slots.step(still), slots.step(still)), (vec![], vec![]));
    assert_eq!(slots.step(still), [Step::Empty { id, slot }]);
    let next = slots.emptied(slot).unwrap();
    assert_eq!((next.slot(), next.generation()), (slot, 1));
    assert_eq!(
        (slots.whose(owner), slots.holds(id)),
        (Whose::Past(id), false)
    );
    assert_eq!(slots.whose(next), Whose::Forgotten);
}

#[test]
fn who_runs_or_exists_keeps_its_slot() {
    let mut slots = Slots::new(SLOTS);
    let owner = slots.assign(CgroupId(70)).unwrap();
    for _ in 0..5 {
        slots.scanned(|_| false);
        assert_eq!(slots.step(|slot| slot == owner.slot()), []);
    }
    for _ in 0..5 {
        slots.scanned(|_| true);
        assert_eq!(slots.step(|_| false), []);
    }
}

#[test]
fn the_longest_idle_give_way_when_slots_are_short() {
    let mut slots = Slots::new(SLOTS);
    let id = |number: u32| CgroupId(u64::from(number));
    let owners: Vec<Owner> = (0..6).map(|n| slots.assign(id(n)).unwrap()).collect();
    let runs = |numbers: &'static [usize]| {
        let slots: Vec<u32> = numbers.iter().map(|n| owners[*n].slot()).collect();
        move |slot| slots.contains(&slot)
    };
    assert_eq!(slots.step(runs(&[0, 1, 2, 4])), []);
    let cleared = |n: usize| Step::Clear {
        id: id(n as u32),
        owner: owners[n],
    };
    // Two of the six are to be free.
    assert_eq!(slots.step(runs(&[0, 1, 2])), [cleared(5), cleared(3)]);
    for _ in 0..3 {
        let steps = slots.step(runs(&[0, 1]));
        assert!(!steps.iter().any(|step| matches!(step, Step::Clear { .. })));
        for step in steps {
            let Step::Empty { slot, .. } = step else {
                continue;
            };
            slots.emptied(slot).unwrap();
        }
    }
    assert_eq!(
        (slots.free(), slots.holds(id(2)), slots.holds(id(3))),
        (2, true, false)
    );
}

#[test]
fn reserved_slots_are_nobodys() {
    let slots = Slots::new(SLOTS);
    assert_eq!(slots.whose(Owner::IDLE), Whose::Idle);
    assert_eq!(slots.whose(Owner::OTHER), Whose::Present(Party::Other));
    for family in agent_ebpf::owner::KernelFamily::ALL {
        let party = Party::Kernel(family);
        assert_eq!(slots.whose(Owner::kernel(family)), Whose::Present(party));
    }
    assert_eq!(slots.in_use().count() as u32, SLOT_FIRST_CGROUP);
    assert_eq!(slots.whose(Owner::new(SLOTS, 0)), Whose::Forgotten);
}

/// What happens to the slots, by this process or by a CPU.
#[derive(Clone, Debug)]
enum Action {
    /// A free slot goes to the CPU.
    Offer,
    /// The CPU meets a cgroup, which has a slot or gets one; a second slot where it races.
    Run { id: u64, races: bool },
    /// This process looks which slots were taken.
    Look,
    /// A scan finds only these cgroups.
    Scan(BTreeSet<u64>),
    /// A reading.
    Read,
}

fn action() -> impl Strategy<Value = Action> {
    let id = 1u64..6;
    prop_oneof![
        2 => Just(Action::Offer),
        4 => (id.clone(), any::<bool>()).prop_map(|(id, races)| Action::Run { id, races }),
        2 => Just(Action::Look),
        3 => prop::collection::btree_set(id, 0..3).prop_map(Action::Scan),
        6 => Just(Action::Read),
    ]
}

/// The maps and a CPU, as simple as can be.
#[derive(Debug, Default)]
struct Model {
    free: Vec<Owner>,
    /// Cgroup to owner: the table that the CPU looks into.
    table: BTreeMap<u64, Owner>,
    /// Slot to cgroup and account.
    taken: BTreeMap<u32, (u64, u64)>,
    /// What a slot's account was at the last reading.
    read: BTreeMap<u32, u64>,
    /// What was added up for each cgroup.
    totals: BTreeMap<u64, u64>,
    /// What each cgroup did.
    truth: BTreeMap<u64, u64>,
    given: BTreeSet<Owner>,
}

impl Model {
    fn run(&mut self, id: u64, races: bool) {
        if races {
            self.table.remove(&id);
        }
        if !self.table.contains_key(&id) {
            let Some(owner) = self.free.pop() else { return };
            let before = self.taken.insert(owner.slot(), (id, 0));
            assert_eq!(before, None, "two cgroups in slot {}", owner.slot());
            self.table.insert(id, owner);
        }
        let owner = self.table[&id];
        let (holder, account) = self.taken.get_mut(&owner.slot()).unwrap();
        assert_eq!(*holder, id, "{owner:?} is another's");
        *account += 1;
        *self.truth.entry(id).or_default() += 1;
    }

    fn read(&mut self, slots: &mut Slots) {
        self.look(slots);
        let mut moved = BTreeSet::new();
        for slot in slots.in_use().filter(|slot| *slot >= SLOT_FIRST_CGROUP) {
            let (id, account) = self.taken[&slot];
            assert_eq!(slots.holder(slot), Some(CgroupId(id)));
            let before = self.read.insert(slot, account).unwrap_or(0);
            *self.totals.entry(id).or_default() += account - before;
            if account != before {
                moved.insert(slot);
            }
        }
        for step in slots.step(|slot| moved.contains(&slot)) {
            match step {
                Step::Clear { id, owner } => {
                    if self.table.get(&id.0) == Some(&owner) {
                        self.table.remove(&id.0);
                    }
                }
                Step::Empty { id, slot } => {
                    let leads = |(to, owner): (&u64, &Owner)| *to == id.0 && owner.slot() == slot;
                    assert!(!self.table.iter().any(leads), "still found");
                    self.taken.remove(&slot);
                    self.read.remove(&slot);
                    slots.emptied(slot).unwrap();
                }
            }
        }
    }

    fn look(&mut self, slots: &mut Slots) {
        for (slot, (id, _)) in &self.taken {
            slots.taken(*slot, CgroupId(*id));
        }
    }
}

proptest! {
    #[test]
    fn no_two_in_one_slot_and_nothing_is_lost(
        actions in prop::collection::vec(action(), 0..400),
    ) {
        let mut slots = Slots::new(SLOTS);
        let mut model = Model::default();
        let mut before = BTreeMap::new();
        for action in actions {
            match action {
                Action::Offer => {
                    if let Some(owner) = slots.offer() {
                        prop_assert!(model.given.insert(owner), "{owner:?} was given before");
                        model.free.push(owner);
                    }
                }
                Action::Run { id, races } => model.run(id, races),
                Action::Look => model.look(&mut slots),
                Action::Scan(ids) => slots.scanned(|id| ids.contains(&id.0)),
                Action::Read => {
                    model.read(&mut slots);
                    prop_assert_eq!(&model.totals, &model.truth);
                    for (id, total) in &before {
                        prop_assert!(model.totals[id] >= *total);
                    }
                    before = model.totals.clone();
                }
            }
            let used = slots.in_use().count() as u32 - SLOT_FIRST_CGROUP;
            prop_assert!(used + slots.free() <= SLOTS - SLOT_FIRST_CGROUP);
        }
    }
}
