//! Everything that must hold before a change is taken. A failing step does not stop the ones after it.

mod host;

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::object;
use crate::process;
use crate::report;
use crate::results::{self, Tally};
use crate::setup::{self, Kit, Purpose, RustSrc};
use crate::vm;
use crate::workspace::Workspace;

struct Context<'a> {
    workspace: &'a Workspace,
    kit: Kit,
    filter: &'a [String],
}

struct Step {
    title: &'static str,
    run: fn(&Context<'_>) -> Result<Tally>,
}

/// What is the same whichever tests are selected.
const CHECKS: [Step; 6] = [
    Step {
        title: "formatting",
        run: formatting,
    },
    Step {
        title: "lints",
        run: lints,
    },
    Step {
        title: "documentation",
        run: documentation,
    },
    Step {
        title: "licences, bans and sources of dependencies",
        run: dependencies,
    },
    Step {
        title: "advisories about dependencies",
        run: advisories,
    },
    Step {
        title: "kernel object with Debian's toolchain",
        run: debian_object,
    },
];

const TESTS: [Step; 2] = [
    Step {
        title: "unit tests",
        run: unit_tests,
    },
    Step {
        title: "black-box tests on this machine",
        run: host::black_box,
    },
];

/// Long, so the last of a whole run only: `cargo xtask vm` takes a filter too.
const KERNELS: [Step; 1] = [Step {
    title: "kernel tests in virtual machines",
    run: virtual_machines,
}];

/// Prepares the machine and runs all steps; with a filter only the tests, and of those the matching ones on this machine.
pub(crate) fn run(
    workspace: &Workspace,
    rust_src: Option<RustSrc>,
    filter: &[String],
) -> Result<ExitCode> {
    let start = Instant::now();
    let kit = setup::prepare(workspace, Purpose::Test, rust_src)?;
    let context = Context {
        workspace,
        kit,
        filter,
    };
    let (checks, kernels) = if filter.is_empty() {
        (&CHECKS[..], &KERNELS[..])
    } else {
        (&[][..], &[][..])
    };
    let mut sum = Tally::default();
    for step in checks.iter().chain(&TESTS).chain(kernels) {
        sum += step.take(&context);
    }
    println!("\nall steps took {}", report::seconds(start.elapsed()));
    Ok(report::verdict(&sum))
}

impl Context<'_> {
    fn cargo(&self, args: &[&str]) -> Command {
        let mut command = self.kit.cargo(self.workspace);
        command.args(args);
        command
    }
}

impl Step {
    fn take(&self, context: &Context<'_>) -> Tally {
        println!("\n== {}", self.title);
        let start = Instant::now();
        let mut tally = (self.run)(context).unwrap_or_else(|error| {
            println!("error: {error:#}");
            let mut tally = Tally::default();
            tally.fail(format!("{error:#}"));
            tally
        });
        tally.place(self.title);
        let verdict = if tally.failed == 0 { "ok" } else { "FAILED" };
        println!(
            "== {}: {verdict}  [{}]",
            self.title,
            report::seconds(start.elapsed())
        );
        tally
    }
}

/// A step that either holds or does not.
fn check(command: &mut Command) -> Result<Tally> {
    process::run(command).map(|()| passed())
}

fn passed() -> Tally {
    Tally {
        passed: 1,
        ..Tally::default()
    }
}

fn formatting(context: &Context<'_>) -> Result<Tally> {
    check(&mut context.cargo(&["fmt", "--all", "--check"]))
}

fn lints(context: &Context<'_>) -> Result<Tally> {
    check(&mut context.cargo(&["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"]))
}

fn documentation(context: &Context<'_>) -> Result<Tally> {
    check(
        context
            .cargo(&[
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ])
            .env("RUSTDOCFLAGS", "-Dwarnings"),
    )
}

fn dependencies(context: &Context<'_>) -> Result<Tally> {
    check(&mut context.cargo(&["deny", "check", "licenses", "bans", "sources"]))
}

/// The database is fetched anew, and a machine without a way to it must still be able to test.
fn advisories(context: &Context<'_>) -> Result<Tally> {
    let Err(error) = process::run(&mut context.cargo(&["deny", "fetch", "db"])) else {
        return check(&mut context.cargo(&["deny", "check", "--disable-fetch", "advisories"]));
    };
    println!("not checked: the advisory database cannot be reached ({error:#})");
    Ok(Tally::default())
}

/// Shows that the fall-back for a machine without rustup's `rust-src` still compiles the programs.
fn debian_object(context: &Context<'_>) -> Result<Tally> {
    let Some(toolchain) = setup::debian_toolchain()? else {
        println!("not checked: this machine's package sources do not offer it");
        return Ok(Tally::default());
    };
    object::build(context.workspace, &context.kit, toolchain).map(|_| passed())
}

fn unit_tests(context: &Context<'_>) -> Result<Tally> {
    let mut command = context.kit.cargo(context.workspace);
    command
        .args([
            "test",
            "--workspace",
            "--exclude",
            "tests",
            "--no-fail-fast",
            "--",
        ])
        .args(context.filter);
    results::of(&mut command, "cargo test")
}

fn virtual_machines(context: &Context<'_>) -> Result<Tally> {
    if !vm::can_boot() {
        println!("not checked: the test kernels are for x86_64");
        return Ok(Tally::default());
    }
    vm::run(&context.kit, context.workspace, &vm::Options::default())
}
