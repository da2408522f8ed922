//! The emulator. Where it cannot be installed beside what is there, it is unpacked into the build folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Done, Kit, apt};
use crate::process;
use crate::workspace::Workspace;

/// The program that boots kernels.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";

/// Finds the emulator, installs it, or unpacks it where its package would replace the user's own programs.
pub(super) fn ensure(workspace: &Workspace, kit: &Kit) -> Result<Done<()>> {
    if let Some(found) = process::find(PROGRAM, kit.path()) {
        return Ok(done("found", &found));
    }
    match apt::ensure(&[PACKAGE], "the tests") {
        Ok(installed) => Ok(installed),
        Err(error) => {
            println!("    {error:#}; unpacking it into the build folder instead");
            unpack(&workspace.tools()).map(|program| done("unpacked", &program))
        }
    }
}

fn done(how: &str, program: &Path) -> Done<()> {
    Done {
        value: (),
        outcome: format!("{how}: {}", program.display()),
    }
}

fn unpack(tools: &Path) -> Result<PathBuf> {
    let tree = tools.join("qemu");
    apt::unpack_with_dependencies(PACKAGE, &tree)?;
    let bin = tools.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    let program = bin.join(PROGRAM);
    write_script(&program, &tree).with_context(|| format!("cannot write {}", program.display()))?;
    Ok(program)
}

/// A packaged program looks for its libraries and firmware where the package puts them.
fn write_script(program: &Path, tree: &Path) -> std::io::Result<()> {
    let usr = tree.join("usr");
    let usr = usr.display();
    let script = format!(
        "#!/bin/sh\n\
         export LD_LIBRARY_PATH='{usr}/lib/x86_64-linux-gnu'\n\
         exec '{usr}/bin/{PROGRAM}' -L '{usr}/share/qemu' -L '{usr}/share/seabios' \"$@\"\n"
    );
    fs::write(program, script)?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
}
