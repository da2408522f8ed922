//! The page of figures.

use std::fmt::Write;

use super::figure::Figure;
use super::machine::Machine;

const METHOD: &str = "\
## Method

- *Kernel programs*: `bpf_stats` of each program, read from `fdinfo`, on one load that goes on. Windows alternate between an
  empty program beside ours and the same empty program beside `runqlat` (libbpf-tools); the order of attaching is swapped
  from round to round. Ours is read once a second meanwhile, as the agent does. The statistics themselves cost each program
  the same, so that *over empty* is what counts. *All of ours* is `sched_switch` and `sched_migrate_task`, *all of runqlat*
  its switch and wake-up programs, both for each switch.
- *Hot*, and the first storm of *Waits*, is `stress-ng --switch` through pipes, in a cgroup that the benchmark joins meanwhile
  (from outside, some kernels let it wait for most of the time); the *storm* runs two of them in two cgroups on one CPU; *cold* is cgroups full of threads that
  wake once in 4 s, so that nothing of them is in a cache.
- *Direct 4 KiB reads* are `fio`'s, at random places of 256 MiB: a file on the machine's own disk, and a loop device over a
  file in memory. Two programs are attached beside ours, one empty and one that reads the clock once, which ours cannot do
  without; the same two beside `biolatency`, of which all programs count.
- *Waits*: readings once a second, as the agent does them. The promise is for 300,000 switches a second and CPU
  (`stress-ng --switch-freq`); the other two storms go as fast as they can, and show how far it holds beyond.
- *The agent itself* is measured from inside a process that samples and models once a second: CPU time of its threads from
  `schedstat`, memory from its `status`, maps by what the kernel charges. Two threads in each cgroup wake every 400 ms.
  Maps for more CPUs than there are: all are read as if on-line, and those that do not exist hold zeros.
- *Slowdown*: pairs of runs with nothing attached, with the agent at one reading a second, and with `runqlat`; who comes
  first rotates. A figure is the median of the paired ratio. The pipe is held on one CPU: across two, where the tasks land
  decides more than anything that is attached. Requests a second are `fio`'s, with nothing, a program
  that only reads the clock, ours and `biolatency` in turn. The emulated machine counts its time in instructions, 62.5 million
  a second: there the agent's own work each second weighs fifty times as much as on a real one.

Medians; *middle half* is from the first to the third quartile of the rounds. Nothing here makes a test fail.
";

/// Writes the page.
pub(crate) fn render(machine: &Machine, figures: &[Figure]) -> String {
    let mut page = String::from(
        "# Performance\n\nWritten by `cargo xtask bench`; do not edit. Targets stand beside the figures.\n\n",
    );
    let kind = if machine.is_virtual {
        "a virtual machine that others use too"
    } else {
        "bare metal"
    };
    let Machine {
        cpu,
        cpus,
        kernel,
        memory_gib,
        date,
        ..
    } = machine;
    let _ = writeln!(
        page,
        "Machine: {cpu}, {cpus} CPUs, {memory_gib} GiB, {kind}; Linux {kernel}; {date}.\n"
    );
    page.push_str(&missed(figures));
    let mut tables: Vec<&str> = figures.iter().map(|figure| figure.table.as_str()).collect();
    tables.dedup();
    for table in tables {
        let rows = figures.iter().filter(|figure| figure.table == table);
        page.push_str(&rendered(table, rows));
    }
    page.push_str(METHOD);
    page
}

fn missed(figures: &[Figure]) -> String {
    let missed: Vec<&Figure> = figures.iter().filter(|figure| figure.is_missed()).collect();
    if missed.is_empty() {
        return "All targets are met.\n\n".to_owned();
    }
    let mut text = String::from("Missed:\n");
    for figure in missed {
        let _ = writeln!(
            text,
            "- {}: {}: {}, target {}",
            figure.load,
            figure.what,
            figure.median(),
            figure.target()
        );
    }
    text.push('\n');
    text
}

fn rendered<'a>(title: &str, rows: impl Iterator<Item = &'a Figure>) -> String {
    let mut text = format!(
        "## {title}\n\n| Load | | Median | Middle half | Target | |\n|---|---|---|---|---|---|\n"
    );
    let mut last = "";
    for figure in rows {
        let load = if figure.load == last {
            ""
        } else {
            &figure.load
        };
        last = &figure.load;
        let _ = writeln!(
            text,
            "| {load} | {} | {} | {} | {} | {} |",
            figure.what,
            figure.median(),
            figure.spread(),
            figure.target(),
            figure.verdict()
        );
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_told_first() {
        let line = r#"{"table":"T","load":"hot","what":"ours","unit":"ns","median":71,"low":70,"high":72,"rounds":7,"at_most":70.0}"#;
        let figures = [Figure::parse(line).expect("a figure")];
        let machine = Machine {
            cpu: "A".into(),
            cpus: 2,
            kernel: "6.1".into(),
            memory_gib: 4,
            is_virtual: false,
            date: "2026-01-01".into(),
        };
        let page = render(&machine, &figures);
        assert!(page.contains("Machine: A, 2 CPUs, 4 GiB, bare metal; Linux 6.1; 2026-01-01."));
        assert!(page.contains("Missed:\n- hot: ours: 71.0 ns, target at most 70 ns\n"));
        assert!(
            page.contains("| hot | ours | 71.0 ns | 70.0 to 72.0 | at most 70 ns | **missed** |")
        );
    }
}
