use expect_test::{Expect, expect};

use super::*;
use crate::{
    cli::report::{
        args::By,
        findings::Question,
        fixture::{about, findings, noisy, question},
    },
    model::fixture::Scene,
    sample::Party,
};

fn plain(scene: &Scene, question: Question, width: Option<usize>) -> String {
    let text = render(&findings(scene, question), width);
    anstream::adapter::strip_str(&text).to_string()
}

fn check(text: &str, expected: &Expect) {
    expected.assert_eq(text);
}

fn fits(text: &str, width: usize) -> bool {
    use unicode_width::UnicodeWidthStr as _;
    text.lines().all(|line| line.width() <= width)
}

#[test]
fn a_noisy_neighbor_in_a_pipe() {
    check(&plain(&noisy(), question(), None), &expect![[r#"
        HOST HURTS 1 OF 3: web.service lost 33 % of the CPU it wanted (0.20 of 0.60 CPUs), 100 % of it to batch.service (at 2.4x its fair share) over 10 s
          web.service: noisy neighbor: it kept to its fair share, its neighbor did not; a CPU quota or less weight for the neighbor helps, or another place; CPUs that it may use were idle for longer than that: is it pinned?

        Without a neighbor's doing
          /job lost 95 % of the CPU it wanted (0.90 CPUs) to its CPU quota of 0.05 CPUs, used up in 80 of 100 periods (throttled)

                        CPUs    CPUs                                     p99   fair
        entity          used  waited  lost  waited for                 delay  share
        web.service     0.40    0.21  33 %  neighbor 95 %, kernel 5 %  22 ms   0.50
        /job            0.05    0.90   0 %  throttled 100 %                    0.05
        batch.service   1.20       0   0 %                                     0.50
        kernel/kworker  0.03       0   0 %                                        ?

        Who ran meanwhile
          batch.service used 1.20 CPUs, 2.4x of its fair share of 0.50, no quota; cost those above 0.20 CPUs
            most by ffmpeg (4242) 1.20, x264 (4243) 0.40
          kernel threads: kworker used 0.03 CPUs, others waited 0.01 for it

        Host web-1: 1.68 of 2 CPUs busy, 0 in interrupts, 0 stolen, 0.32 idle; tasks waited for 1.11, at most 0.21 of it while other CPUs were idle
        Not known: there is no run-queue delay of the kernel's own to compare with
        Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
    "#]]);
}

#[test]
fn a_noisy_neighbor_in_80_columns() {
    let text = plain(&noisy(), question(), Some(80));
    assert!(fits(&text, 80));
    check(&text, &expect![[r#"
        HOST HURTS 1 OF 3: web.service lost 33 % of the CPU it wanted (0.20 of 0.60
          CPUs), 100 % of it to batch.service (at 2.4x its fair share) over 10 s
          web.service: noisy neighbor: it kept to its fair share, its neighbor did not;
            a CPU quota or less weight for the neighbor helps, or another place; CPUs
            that it may use were idle for longer than that: is it pinned?

        Without a neighbor's doing
          /job lost 95 % of the CPU it wanted (0.90 CPUs) to its CPU quota of 0.05 CPUs,
            used up in 80 of 100 periods (throttled)

                        CPUs    CPUs                                     p99   fair
        entity          used  waited  lost  waited for                 delay  share
        web.service     0.40    0.21  33 %  neighbor 95 %, kernel 5 %  22 ms   0.50
        /job            0.05    0.90   0 %  throttled 100 %                    0.05
        batch.service   1.20       0   0 %                                     0.50
        kernel/kworker  0.03       0   0 %                                        ?

        Who ran meanwhile
          batch.service used 1.20 CPUs, 2.4x of its fair share of 0.50, no quota; cost
            those above 0.20 CPUs
            most by ffmpeg (4242) 1.20, x264 (4243) 0.40
          kernel threads: kworker used 0.03 CPUs, others waited 0.01 for it

        Host web-1: 1.68 of 2 CPUs busy, 0 in interrupts, 0 stolen, 0.32 idle; tasks
          waited for 1.11, at most 0.21 of it while other CPUs were idle
        Not known: there is no run-queue delay of the kernel's own to compare with
        Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the
          network
    "#]]);
}

#[test]
fn a_noisy_neighbor_in_120_columns() {
    check(&plain(&noisy(), question(), Some(120)), &expect![[r#"
        HOST HURTS 1 OF 3: web.service lost 33 % of the CPU it wanted (0.20 of 0.60 CPUs), 100 % of it to batch.service (at 2.4x
          its fair share) over 10 s
          web.service: noisy neighbor: it kept to its fair share, its neighbor did not; a CPU quota or less weight for the
            neighbor helps, or another place; CPUs that it may use were idle for longer than that: is it pinned?

        Without a neighbor's doing
          /job lost 95 % of the CPU it wanted (0.90 CPUs) to its CPU quota of 0.05 CPUs, used up in 80 of 100 periods
            (throttled)

                        CPUs    CPUs                                     p99   fair
        entity          used  waited  lost  waited for                 delay  share
        web.service     0.40    0.21  33 %  neighbor 95 %, kernel 5 %  22 ms   0.50
        /job            0.05    0.90   0 %  throttled 100 %                    0.05
        batch.service   1.20       0   0 %                                     0.50
        kernel/kworker  0.03       0   0 %                                        ?

        Who ran meanwhile
          batch.service used 1.20 CPUs, 2.4x of its fair share of 0.50, no quota; cost those above 0.20 CPUs
            most by ffmpeg (4242) 1.20, x264 (4243) 0.40
          kernel threads: kworker used 0.03 CPUs, others waited 0.01 for it

        Host web-1: 1.68 of 2 CPUs busy, 0 in interrupts, 0 stolen, 0.32 idle; tasks waited for 1.11, at most 0.21 of it while
          other CPUs were idle
        Not known: there is no run-queue delay of the kernel's own to compare with
        Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
    "#]]);
}

#[test]
fn a_calm_host() {
    let mut scene = Scene::new(2);
    let web = scene.cgroup(2, "/web.service");
    scene.ran(web, 1.0);
    check(&plain(&scene, question(), Some(80)), &expect![[r#"
        CALM: no neighbor slowed down the only one that ran over 10 s

                     CPUs    CPUs                      p99   fair
        entity       used  waited  lost  waited for  delay  share
        web.service  0.10       0   0 %                      2.00

        Host web-1: 0.10 of 2 CPUs busy, 0 in interrupts, 0 stolen, 1.90 idle; tasks
          waited for 0
        Not known: there is no run-queue delay of the kernel's own to compare with
        Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the
          network
    "#]]);
}

#[test]
fn names_of_tenants_are_long_hostile_and_alike() {
    let mut scene = Scene::new(2);
    let long = format!("/{}.service", "a-very-long-name-of-a-service-".repeat(5));
    let victim = scene.cgroup(2, &long);
    let hostile = scene.cgroup(3, b"/\x1b[31mred\r\n\xff");
    scene.ran(victim, 2.0);
    scene.ran(hostile, 15.0);
    scene.waited_for(victim, hostile, 5.0, 0.050);
    for (id, path) in [
        (10, "/x"),
        (11, "/x/a.service"),
        (12, "/y"),
        (13, "/y/a.service"),
    ] {
        let party = scene.cgroup(id, path);
        scene.ran(party, 0.1);
    }
    let text = plain(&scene, question(), Some(80));
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
    check(&text, &expect![[r#"
        HOST HURTS 1 OF 6:
          a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-.service
          lost 71 % of the CPU it wanted (0.50 of 0.70 CPUs), 100 % of it to
          /\x1b[31mred\x0d\x0a\xff (at 3.0x its fair share) over 10 s
          a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-a-very-long-name-of-a-service-.service:
            noisy neighbor: it kept to its fair share, its neighbor did not; a CPU quota
            or less weight for the neighbor helps, or another place

                                        CPUs    CPUs                          p99   fair
        entity                          used  waited  lost  waited for      delay  share
        a-very-long-nam…rvice-.service  0.20    0.50  71 %  neighbor 100 %  52 ms   0.50
        /\x1b[31mred\x0d\x0a\xff        1.50       0   0 %                          0.50
        /x                              0.01       0   0 %                          0.25
        /x/a.service                    0.01       0   0 %                          0.25
        /y                              0.01       0   0 %                          0.25
        /y/a.service                    0.01       0   0 %                          0.25

        Who ran meanwhile
          /\x1b[31mred\x0d\x0a\xff used 1.50 CPUs, 3.0x of its fair share of 0.50, no
            quota; cost those above 0.50 CPUs
            most by ffmpeg (4242) 1.20, x264 (4243) 0.40

        Host web-1: 1.74 of 2 CPUs busy, 0 in interrupts, 0 stolen, 0.26 idle; tasks
          waited for 0.50, at most 0.26 of it while other CPUs were idle
        Not known: there is no run-queue delay of the kernel's own to compare with
        Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the
          network
    "#]]);
    let text = plain(
        &scene,
        Question {
            by: By::Cgroup,
            ..question()
        },
        None,
    );
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
}

#[test]
fn only_what_was_asked_for() {
    let scene = noisy();
    check(&plain(&scene, about("*batch*"), Some(100)), &expect![[r#"
        CALM: no neighbor slowed down the only one that ran over 10 s

                       CPUs    CPUs                      p99   fair
        entity         used  waited  lost  waited for  delay  share
        batch.service  1.20       0   0 %                      0.50

        Who ran meanwhile
          kernel threads: kworker used 0.03 CPUs, others waited 0.01 for it

        Host web-1: 1.68 of 2 CPUs busy, 0 in interrupts, 0 stolen, 0.32 idle; tasks waited for 1.11, at
          most 0.21 of it while other CPUs were idle
        Not known: there is no run-queue delay of the kernel's own to compare with
        Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
    "#]]);
    check(&plain(&scene, about("*moon*"), Some(100)), &expect![[r#"
        CANNOT TELL: no cgroup matches '*moon*'; a path starts with / and * stands for any part of it

        Who ran meanwhile
          kernel threads: kworker used 0.03 CPUs, others waited 0.01 for it

        Host web-1: 1.68 of 2 CPUs busy, 0 in interrupts, 0 stolen, 0.32 idle; tasks waited for 1.11, at
          most 0.21 of it while other CPUs were idle
        Not known: there is no run-queue delay of the kernel's own to compare with
        Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
    "#]]);
}

#[test]
fn tasks_that_starve_and_a_crowd_that_takes_turns() {
    let mut scene = Scene::new(2);
    let web = scene.cgroup(2, "/web.service");
    scene.waiting(web, 7.0);
    let storm: Vec<Party> = (3..9)
        .map(|id| scene.cgroup(id, format!("/storm{id}")))
        .collect();
    for pair in storm.windows(2) {
        scene.ran(pair[0], 2.0);
        scene.waited_for(pair[0], pair[1], 2.0, 0.000_05);
    }
    check(&plain(&scene, question(), Some(100)), &expect![[r#"
        HOST HURTS 1 OF 6: web.service starves: a task of it waited 7 s for a CPU over 10 s
          web.service: fair shares are not known here; CPUs that it may use were idle for longer than that:
            is it pinned?
          Not counted, since no wait reached 11 ms: /storm3 lost 50 %, /storm4 lost 50 %, /storm5 lost 50 %,
            /storm6 lost 50 % and /storm7 lost 50 %
          web.service: 1 task has been waiting for a CPU for 7 s, and still was at the end

                     CPUs    CPUs                          p99   fair
        entity       used  waited  lost  waited for      delay  share
        /storm3      0.20    0.20  50 %  neighbor 100 %  51 µs   0.40
        /storm4      0.20    0.20  50 %  neighbor 100 %  51 µs   0.40
        /storm5      0.20    0.20  50 %  neighbor 100 %  51 µs   0.40
        /storm6      0.20    0.20  50 %  neighbor 100 %  51 µs   0.40
        /storm7      0.20    0.20  50 %  neighbor 100 %  51 µs   0.40
        web.service     0       0   0 %                          0.33

        Host web-1: 1.00 of 2 CPUs busy, 0 in interrupts, 0 stolen, 1.00 idle; tasks waited for 1.00, at
          most 1.00 of it while other CPUs were idle
        Not known: there is no run-queue delay of the kernel's own to compare with
        Never seen: a busy SMT sibling, caches and memory bandwidth, CPU frequency, the network
    "#]]);
}

#[test]
fn many_rows_are_counted_and_all_are_shown_on_demand() {
    let mut scene = noisy();
    for id in 100..130 {
        let party = scene.cgroup(id, format!("/small{id}.service"));
        scene.ran(party, 0.01);
    }
    let few = plain(&scene, question(), None);
    assert!(few.contains("and 24 more (--top 0 shows all)"), "{few}");
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
    cut.complete = false;
    cut.question.duration = std::time::Duration::from_mins(10);
    let text = render(&cut, None);
    assert!(
        text.contains("over 10 s (ended early, of 10 min)"),
        "{text}"
    );
}
