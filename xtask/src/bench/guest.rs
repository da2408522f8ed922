//! The part of the benchmark that needs a device which the machine may not have: null_blk, in a virtual machine whose
//! time is counted in instructions.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::figure::Figure;
use crate::process;
use crate::programs;
use crate::setup::Kit;
use crate::vm::{self, Kernel};
use crate::workspace::Workspace;

/// The kernel whose device it is.
const KERNEL: Kernel = Kernel::V6_12;
/// What the benchmark starts, from this machine's packages.
const TOOLS: [&str; 3] = ["fio", "biolatency", "kill"];
/// Where the guest looks for programs.
const PLACE: &str = "bin";

/// Boots a kernel, and measures there.
pub(crate) fn figures(kit: &Kit, workspace: &Workspace, quick: bool) -> Result<Vec<Figure>> {
    let benchmark = programs::benchmark_for_guest(kit, workspace)?;
    let mut files = vec![(format!("{PLACE}/{}", programs::BENCHMARK), benchmark)];
    for tool in TOOLS {
        let path = process::find(tool, kit.path());
        let path = path.with_context(|| format!("{tool} is not installed"))?;
        for library in libraries(&path)? {
            let inside = library.to_string_lossy();
            files.push((inside.trim_start_matches('/').to_owned(), library));
        }
        files.push((format!("{PLACE}/{tool}"), path));
    }
    files.sort();
    files.dedup();
    let quick = if quick { "--quick " } else { "" };
    let command = format!("{} {quick}null-requests", programs::BENCHMARK);
    let lines = vm::output(kit, workspace, KERNEL, files, &command)?;
    let figures = lines.iter().filter(|line| line.starts_with('{'));
    figures.map(|line| Figure::parse(line)).collect()
}

/// The shared libraries of a program, its loader among them.
fn libraries(program: &std::path::Path) -> Result<Vec<PathBuf>> {
    let text = process::capture(Command::new("ldd").arg(program))?;
    Ok(paths(&text))
}

fn paths(text: &str) -> Vec<PathBuf> {
    let words = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.find(|word| word.starts_with('/'))
    });
    words.map(|word| PathBuf::from(OsStr::new(word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_found() {
        let text = "\tlinux-vdso.so.1 (0x00007f)\n\tlibz.so.1 => /lib/libz.so.1 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = ["/lib/libz.so.1", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(paths(text), expected.map(PathBuf::from));
    }
}
