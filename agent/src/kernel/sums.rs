//! Cells, summed by slot over the CPUs and by CPU over the slots.

use agent_ebpf::{layout::Cell, owner::SLOT_IDLE};

use super::{
    accounts::WORDS,
    cpu::{Snapshot, snapshot},
    maps::Maps,
};
use crate::sample::CpuTime;

/// The cells at the last reading.
#[derive(Debug)]
pub(crate) struct Sums {
    /// By slot, over all CPUs.
    now: Vec<[u64; WORDS]>,
    before: Vec<[u64; WORDS]>,
    /// By CPU: what is no longer in the cells, for their slots were emptied.
    past: Vec<CpuTime>,
    /// By CPU: the most that was reported. An open slice counts as run time until steal and
    /// interrupts are known.
    reported: Vec<CpuTime>,
}

/// One CPU at the last reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuReading {
    pub(crate) snapshot: Snapshot,
    /// Open slice included.
    pub(crate) time: CpuTime,
}

impl Sums {
    pub(crate) fn new(maps: &Maps) -> Sums {
        let slots = vec![[0; WORDS]; maps.shape.slots as usize];
        let cpus = vec![CpuTime::default(); maps.shape.cpus as usize];
        Sums {
            now: slots.clone(),
            before: slots,
            past: cpus.clone(),
            reported: cpus,
        }
    }

    /// Reads the cells of these slots. The open slice of an off-line CPU has no end to come, and
    /// is left out.
    pub(crate) fn read(
        &mut self,
        maps: &Maps,
        slots: &[u32],
        is_online: impl Fn(u32) -> bool,
    ) -> Vec<CpuReading> {
        for slot in slots {
            let slot = *slot as usize;
            self.before[slot] = self.now[slot];
            self.now[slot] = [0; WORDS];
        }
        (0..maps.shape.cpus)
            .map(|cpu| self.read_cpu(maps, cpu, slots, is_online(cpu)))
            .collect()
    }

    /// The open slice first: what ends while the other cells are read counts a moment early, and
    /// nothing twice.
    fn read_cpu(&mut self, maps: &Maps, cpu: u32, slots: &[u32], is_online: bool) -> CpuReading {
        let mut snapshot = snapshot(maps, cpu);
        if !is_online {
            snapshot.open_ns = 0;
        }
        let open = snapshot.owner.slot();
        let mut time = self.past[cpu as usize];
        for &slot in slots {
            let cell = if slot == open {
                snapshot.cell
            } else {
                maps.cells.words(maps.cell_index(cpu, slot))
            };
            for (sum, word) in self.now[slot as usize].iter_mut().zip(cell) {
                *sum += word;
            }
            add(&mut time, slot, &cell);
        }
        if open == SLOT_IDLE {
            time.idle_ns += snapshot.open_ns;
        } else {
            time.run_ns += snapshot.open_ns;
        }
        let reported = &mut self.reported[cpu as usize];
        time.run_ns = time.run_ns.max(reported.run_ns);
        time.idle_ns = time.idle_ns.max(reported.idle_ns);
        *reported = time;
        CpuReading { snapshot, time }
    }

    /// What a slot's cells grew by between the last two readings.
    pub(crate) fn grown(&self, slot: u32) -> [u64; WORDS] {
        let (now, before) = (&self.now[slot as usize], &self.before[slot as usize]);
        std::array::from_fn(|at| now[at].saturating_sub(before[at]))
    }

    /// The slot's cells are about to be emptied: their CPUs' sums keep what they held.
    pub(crate) fn retire(&mut self, maps: &Maps, slot: u32) {
        for (cpu, past) in (0..).zip(&mut self.past) {
            add(past, slot, &maps.cells.words(maps.cell_index(cpu, slot)));
        }
        self.now[slot as usize] = [0; WORDS];
        self.before[slot as usize] = [0; WORDS];
    }
}

fn add(time: &mut CpuTime, slot: u32, cell: &[u64; WORDS]) {
    let cell: Cell = bytemuck::cast(*cell);
    if slot == SLOT_IDLE {
        time.idle_ns += cell.run_ns;
    } else {
        time.run_ns += cell.run_ns;
    }
    time.steal_ns += cell.steal_ns;
    time.irq_ns += cell.irq_ns;
}
