use expect_test::{Expect, expect};
use unicode_width::UnicodeWidthStr as _;

use super::*;
use crate::{
    cli::report::{
        args::By,
        findings::Question,
        fixture::{about, calm, findings, hostile_names, noisy, question, starving},
    },
    model::fixture::Scene,
};

/// Without styles, as it is laid out for some width. Whatever tenants chose, it fits, as far as
/// names can be broken, and controls no terminal.
pub(super) fn plain(scene: &Scene, question: Question, width: Option<usize>) -> String {
    let text = render(&findings(scene, question), width);
    let text = anstream::adapter::strip_str(&text).to_string();
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text}"
    );
    if let Some(width) = width {
        let is_one_word = |line: &str| !line.trim().contains(' ');
        let fits = |line: &str| line.width() <= width || is_one_word(line);
        assert!(text.lines().all(fits), "{text}");
    }
    text
}

pub(super) fn check(scene: &Scene, question: Question, width: Option<usize>, expected: &Expect) {
    expected.assert_eq(&plain(scene, question, width));
}

#[test]
fn a_noisy_neighbor_in_a_pipe() {
    check(
        &noisy(),
        question(),
        None,
        &expect![[r"
            HOST HURTS 1 OF 3: web.service lost 33 % of the CPU it wanted (0.20 of 0.60 CPUs) over 10 s; all of it to batch.service (at 2.4x its fair share)
              Why: batch.service used more than a fair share while web.service kept to its own (noisy neighbor)
              What helps: look for pinning (taskset, CPU sets): CPUs that it may use were idle for longer than it lost

            Without a neighbor's doing
              /job lost 95 % of the CPU it wanted (0.90 CPUs) to its CPU quota of 0.05 CPUs, used up in 80 of 100 periods (throttled)

                            CPUs    CPUs    lost to                               p99        CPUs
            entity          used  waited  neighbors  causes                     delay  fair share
            web.service     0.40    0.21       33 %  neighbor 95 %, kernel 5 %  22 ms        0.50
            /job            0.05    0.90        0 %  throttled 100 %                         0.05
            batch.service   1.20       0        0 %                                          0.50
            kernel/kworker  0.03       0        0 %

            Who ran meanwhile
              batch.service used 1.20 CPUs, 2.4x its fair share of 0.50, no quota; those above waited 0.20 CPUs for it
                processes: ffmpeg (4242) 1.20 CPUs, x264 (4243) 0.40 CPUs
              kernel threads: kworker used 0.03 CPUs, others waited 0.01 for it

            Host web-1: 1.68 of 2 CPUs busy, 0 in interrupts, 0 stolen, 0.32 idle; tasks waited for 1.11, at most 0.21 of it while other CPUs were idle
            Observed from 2025-06-15T15:06:40Z on, kernel 6.12.0, cgroups v2, crosstalk 0.1.0
            Not known: this kernel keeps no sum of waits of its own to compare with
            Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
        "]],
    );
}

#[test]
fn a_noisy_neighbor_in_80_columns() {
    check(
        &noisy(),
        question(),
        Some(80),
        &expect![[r"
            HOST HURTS 1 OF 3: web.service lost 33 % of the CPU it wanted (0.20 of 0.60
              CPUs) over 10 s; all of it to batch.service (at 2.4x its fair share)
              Why: batch.service used more than a fair share while web.service kept to its
                own (noisy neighbor)
              What helps: look for pinning (taskset, CPU sets): CPUs that it may use were
                idle for longer than it lost

            Without a neighbor's doing
              /job lost 95 % of the CPU it wanted (0.90 CPUs) to its CPU quota of 0.05 CPUs,
                used up in 80 of 100 periods (throttled)

                            CPUs    CPUs    lost to                     p99        CPUs
            entity          used  waited  neighbors  causes           delay  fair share
            web.service     0.40    0.21       33 %  neighbor 95 %    22 ms        0.50
            /job            0.05    0.90        0 %  throttled 100 %               0.05
            batch.service   1.20       0        0 %                                0.50
            kernel/kworker  0.03       0        0 %

            Who ran meanwhile
              batch.service used 1.20 CPUs, 2.4x its fair share of 0.50, no quota; those
                above waited 0.20 CPUs for it
                processes: ffmpeg (4242) 1.20 CPUs, x264 (4243) 0.40 CPUs
              kernel threads: kworker used 0.03 CPUs, others waited 0.01 for it

            Host web-1: 1.68 of 2 CPUs busy, 0 in interrupts, 0 stolen, 0.32 idle; tasks
              waited for 1.11, at most 0.21 of it while other CPUs were idle
            Observed from 2025-06-15T15:06:40Z on, kernel 6.12.0, cgroups v2, crosstalk
              0.1.0
            Not known: this kernel keeps no sum of waits of its own to compare with
            Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the
              network
        "]],
    );
}

#[test]
fn a_noisy_neighbor_in_120_columns() {
    check(
        &noisy(),
        question(),
        Some(120),
        &expect![[r"
            HOST HURTS 1 OF 3: web.service lost 33 % of the CPU it wanted (0.20 of 0.60 CPUs) over 10 s; all of it to batch.service
              (at 2.4x its fair share)
              Why: batch.service used more than a fair share while web.service kept to its own (noisy neighbor)
              What helps: look for pinning (taskset, CPU sets): CPUs that it may use were idle for longer than it lost

            Without a neighbor's doing
              /job lost 95 % of the CPU it wanted (0.90 CPUs) to its CPU quota of 0.05 CPUs, used up in 80 of 100 periods
                (throttled)

                            CPUs    CPUs    lost to                               p99        CPUs
            entity          used  waited  neighbors  causes                     delay  fair share
            web.service     0.40    0.21       33 %  neighbor 95 %, kernel 5 %  22 ms        0.50
            /job            0.05    0.90        0 %  throttled 100 %                         0.05
            batch.service   1.20       0        0 %                                          0.50
            kernel/kworker  0.03       0        0 %

            Who ran meanwhile
              batch.service used 1.20 CPUs, 2.4x its fair share of 0.50, no quota; those above waited 0.20 CPUs for it
                processes: ffmpeg (4242) 1.20 CPUs, x264 (4243) 0.40 CPUs
              kernel threads: kworker used 0.03 CPUs, others waited 0.01 for it

            Host web-1: 1.68 of 2 CPUs busy, 0 in interrupts, 0 stolen, 0.32 idle; tasks waited for 1.11, at most 0.21 of it while
              other CPUs were idle
            Observed from 2025-06-15T15:06:40Z on, kernel 6.12.0, cgroups v2, crosstalk 0.1.0
            Not known: this kernel keeps no sum of waits of its own to compare with
            Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
        "]],
    );
}

#[test]
fn a_calm_host() {
    check(
        &calm(),
        question(),
        Some(80),
        &expect![[r"
            CALM: no neighbor slowed down the only entity that ran over 10 s

                         CPUs    CPUs    lost to            p99        CPUs
            entity       used  waited  neighbors  causes  delay  fair share
            web.service  0.10       0        0 %                       2.00

            Host web-1: 0.10 of 2 CPUs busy, 0 in interrupts, 0 stolen, 1.90 idle; tasks
              waited for 0
            Observed from 2025-06-15T15:06:40Z on, kernel 6.12.0, cgroups v2, crosstalk
              0.1.0
            Not known: this kernel keeps no sum of waits of its own to compare with
            Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the
              network
        "]],
    );
}

#[test]
fn names_of_tenants_are_long_hostile_and_alike() {
    check(
        &hostile_names(),
        question(),
        Some(80),
        &expect![[r"
            HOST HURTS 1 OF 6:
              a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-.service
              lost 71 % of the CPU it wanted (0.50 of 0.70 CPUs) over 10 s; all of it to
              /\x1b[31mred\x0d\x0a\xff (at 3.0x its fair share)
              Why: /\x1b[31mred\x0d\x0a\xff used more than a fair share while
                a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-.service
                kept to its own (noisy neighbor)
              What helps: give /\x1b[31mred\x0d\x0a\xff a CPU quota or less weight, or move
                one of them elsewhere

                                  CPUs    CPUs    lost to                    p99        CPUs
            entity                used  waited  neighbors  causes          delay  fair share
            a-very-lon…-.service  0.20    0.50       71 %  neighbor 100 %  52 ms        0.50
            /\x1b[31mr…d\x0a\xff  1.50       0        0 %                               0.50
            /x                    0.01       0        0 %                               0.25
            /x/a.service          0.01       0        0 %                               0.25
            /y                    0.01       0        0 %                               0.25
            /y/a.service          0.01       0        0 %                               0.25

            Who ran meanwhile
              /\x1b[31mred\x0d\x0a\xff used 1.50 CPUs, 3.0x its fair share of 0.50, no
                quota; those above waited 0.50 CPUs for it
                processes: ffmpeg (4242) 1.20 CPUs, x264 (4243) 0.40 CPUs

            Host web-1: 1.74 of 2 CPUs busy, 0 in interrupts, 0 stolen, 0.26 idle; tasks
              waited for 0.50, at most 0.26 of it while other CPUs were idle
            Observed from 2025-06-15T15:06:40Z on, kernel 6.12.0, cgroups v2, crosstalk
              0.1.0
            Not known: this kernel keeps no sum of waits of its own to compare with
            Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the
              network
        "]],
    );
    let by_cgroup = Question {
        by: By::Cgroup,
        ..question()
    };
    plain(&hostile_names(), by_cgroup, None);
}

#[test]
fn only_what_was_asked_for() {
    let scene = noisy();
    check(
        &scene,
        about("*batch*"),
        Some(100),
        &expect![[r"
            CALM: no neighbor slowed down the only entity (matching '*batch*') that ran over 10 s

                           CPUs    CPUs    lost to            p99        CPUs
            entity         used  waited  neighbors  causes  delay  fair share
            batch.service  1.20       0        0 %                       0.50

            Who ran meanwhile
              kernel threads: kworker used 0.03 CPUs, others waited 0.01 for it

            Host web-1: 1.68 of 2 CPUs busy, 0 in interrupts, 0 stolen, 0.32 idle; tasks waited for 1.11, at
              most 0.21 of it while other CPUs were idle
            Observed from 2025-06-15T15:06:40Z on, kernel 6.12.0, cgroups v2, crosstalk 0.1.0
            Not known: this kernel keeps no sum of waits of its own to compare with
            Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
        "]],
    );
    check(
        &scene,
        about("*moon*"),
        Some(100),
        &expect![[r"
            CANNOT TELL: no cgroup matches '*moon*'; a path starts with / and * stands for any part of it
        "]],
    );
}

#[test]
fn tasks_that_starve_and_a_crowd_that_takes_turns() {
    check(
        &starving(),
        question(),
        Some(100),
        &expect![[r"
            HOST HURTS 1 OF 6: web.service starves: one of its tasks waited 7 s for a CPU (observed over 10 s)
              Why: not known yet: who ran instead is known when the wait is over
              What helps: look for pinning (taskset, CPU sets): CPUs that it may use were idle for longer than
                it lost
              Lost to neighbors as well, but in no wait of 11 ms or more: /storm3 50 %, /storm4 50 %, /storm5
                50 %, /storm6 50 % and /storm7 50 %

            Still waiting for a CPU at the end
              web.service: 1 task for 7 s

                         CPUs    CPUs    lost to                    p99        CPUs
            entity       used  waited  neighbors  causes          delay  fair share
            /storm3      0.20    0.20       50 %  neighbor 100 %  51 µs        0.40
            /storm4      0.20    0.20       50 %  neighbor 100 %  51 µs        0.40
            /storm5      0.20    0.20       50 %  neighbor 100 %  51 µs        0.40
            /storm6      0.20    0.20       50 %  neighbor 100 %  51 µs        0.40
            /storm7      0.20    0.20       50 %  neighbor 100 %  51 µs        0.40
            web.service     0       0        0 %                               0.33

            Host web-1: 1.00 of 2 CPUs busy, 0 in interrupts, 0 stolen, 1.00 idle; tasks waited for 1.00, at
              most 1.00 of it while other CPUs were idle
            Observed from 2025-06-15T15:06:40Z on, kernel 6.12.0, cgroups v2, crosstalk 0.1.0
            Not known: this kernel keeps no sum of waits of its own to compare with
            Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
        "]],
    );
}

#[test]
fn many_rows_are_counted_and_all_are_shown_on_demand() {
    let mut scene = noisy();
    for id in 100..130 {
        let party = scene.cgroup(id, format!("/small{id}.service"));
        scene.ran(party, 0.01);
    }
    let few = plain(&scene, question(), None);
    assert!(few.contains("and 30 more (--top 0 shows all)"), "{few}");
    let top = Question {
        top: Some(0),
        ..question()
    };
    assert!(plain(&scene, top, None).contains("small129.service"));
}

#[test]
fn an_interval_that_was_cut_short_says_so() {
    let scene = noisy();
    let mut cut = findings(&scene, question());
    cut.extent = Extent::Observed { complete: false };
    cut.question.duration = std::time::Duration::from_mins(10);
    let text = render(&cut, None);
    assert!(text.contains("over 10 s of 10 min (ended early)"), "{text}");
}

#[test]
fn what_an_agent_remembers_is_told_as_such() {
    let mut past = findings(&noisy(), question());
    past.question.duration = std::time::Duration::from_mins(10);
    past.extent = Extent::Remembered {
        complete: true,
        others_together: false,
    };
    let text = render(&past, None);
    assert!(text.contains(" over 10 s;"), "{text}");
    assert!(text.contains("Remembered by the agent from 20"), "{text}");
    assert!(!text.contains("all others are `other`"), "{text}");
    past.extent = Extent::Remembered {
        complete: false,
        others_together: true,
    };
    let text = render(&past, None);
    assert!(
        text.contains("over 10 s of 10 min (the agent remembers no more)"),
        "{text}"
    );
    let care = "who lost 1 % or more, and whoever made them; all others are `other`";
    assert!(text.contains(care), "{text}");
}
