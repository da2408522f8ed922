//! Packages of other Debian suites, fetched with a private apt state: the machine's package lists stay as they are.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt;
use crate::process;

/// Which of Debian's archives.
#[derive(Clone, Copy)]
pub(crate) enum Archive {
    /// The ordinary one.
    Main,
    /// Security updates.
    Security,
}

/// A suite of an archive.
pub(crate) struct Source {
    /// The archive.
    pub(crate) archive: Archive,
    /// The suite in it.
    pub(crate) suite: &'static str,
}

/// A folder with apt's whole state for some suites.
pub(crate) struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Prepares the folder and fetches the package lists of the suites.
    pub(crate) fn open(folder: PathBuf, sources: &[Source]) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial", "download"] {
            let part = folder.join(part);
            fs::create_dir_all(&part)
                .with_context(|| format!("cannot create {}", part.display()))?;
        }
        let lines: Result<Vec<String>> = sources.iter().map(source_line).collect();
        write(&folder.join("sources.list"), &lines?.join("\n"))?;
        write(&folder.join("status"), "")?;
        write(&folder.join("apt.conf"), &configuration(&folder))?;
        let apt = Self { folder };
        let suites: Vec<&str> = sources.iter().map(|source| source.suite).collect();
        process::capture(apt.command("apt-get").arg("update")).with_context(|| {
            format!(
                "the package lists of {} cannot be fetched",
                suites.join(", ")
            )
        })?;
        Ok(apt)
    }

    /// Names of the packages that begin with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let said = process::capture(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(said.lines().map(str::to_owned).collect())
    }

    /// A package and all that it needs, as if nothing were installed.
    pub(crate) fn with_dependencies(&self, package: &str) -> Result<Vec<String>> {
        let plan = process::capture(self.command("apt-get").args([
            "install",
            "--simulate",
            "--no-install-recommends",
            package,
        ]))?;
        let packages = plan
            .lines()
            .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
        Ok(packages.map(str::to_owned).collect())
    }

    /// Fetches packages and unpacks them into a folder.
    pub(crate) fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let download = self.folder.join("download");
        process::capture(
            self.command("apt-get")
                .arg("download")
                .args(packages)
                .current_dir(&download),
        )?;
        for deb in fs::read_dir(&download)
            .with_context(|| format!("cannot list {}", download.display()))?
        {
            let deb = deb
                .with_context(|| format!("cannot list {}", download.display()))?
                .path();
            process::capture(Command::new("dpkg").arg("-x").arg(&deb).arg(into))?;
            fs::remove_file(&deb).with_context(|| format!("cannot remove {}", deb.display()))?;
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(self.folder.join("apt.conf"))
            .arg("--quiet=1");
        command
    }
}

/// A program that starts one of an unpacked tree with these options before all others, and with the tree's own libraries:
/// a packaged program looks for them where the package puts them.
pub(super) fn write_launcher(
    launcher: &Path,
    tree: &Path,
    program: &str,
    options: &str,
) -> Result<()> {
    let usr = tree.join("usr");
    let usr = usr.display();
    let command = format!(
        "exec '{usr}/lib64/ld-linux-x86-64.so.2' --library-path '{usr}/lib/x86_64-linux-gnu' \
         '{usr}/bin/{program}' {options} \"$@\""
    );
    write_script(launcher, &command)
}

/// A program of one shell command; its folder is made.
pub(super) fn write_script(program: &Path, command: &str) -> Result<()> {
    let folder = program.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    write(program, &format!("#!/bin/sh\n{command}\n"))?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} a program", program.display()))
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    // The lists are ours alone: no sandbox user can enter them, and the machine's hooks after an update are not for them.
    // Releases of a suite that is no longer supported expire, and such kernels are just what is wanted here.
    format!(
        r#"Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "-";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::Retries "3";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
#clear APT::Update;
"#
    )
}

fn source_line(source: &Source) -> Result<String> {
    let signed_by = keyring().map_or_else(String::new, |keyring| {
        format!("[signed-by={}] ", keyring.display())
    });
    Ok(format!(
        "deb {signed_by}{} {} main",
        mirror(source.archive)?,
        source.suite
    ))
}

/// One keyring that knows the keys of all suites; without it apt uses those that the machine trusts.
fn keyring() -> Option<PathBuf> {
    let candidates = [
        "/usr/share/keyrings/debian-archive-keyring.pgp",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
    ];
    candidates
        .into_iter()
        .map(PathBuf::from)
        .find(|file| file.exists())
}

/// Where the machine itself takes Debian's packages from, unless the user names a place.
fn mirror(archive: Archive) -> Result<String> {
    let (variable, label) = match archive {
        Archive::Main => ("CROSSTALK_DEBIAN_MIRROR", "Debian"),
        Archive::Security => ("CROSSTALK_DEBIAN_SECURITY_MIRROR", "Debian-Security"),
    };
    if let Ok(named) = env::var(variable) {
        return Ok(named);
    }
    if let Some(uri) = configured(label)? {
        return Ok(uri);
    }
    // A machine without package lists, such as a new container, does not know its mirrors' labels yet.
    apt::update_once()?;
    match configured(label)? {
        Some(uri) => Ok(uri),
        None => bail!(
            "apt on this machine has no source labelled `{label}` to take packages of other suites from: set {variable} to a mirror's address"
        ),
    }
}

fn configured(label: &str) -> Result<Option<String>> {
    let targets = process::capture(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(LABEL)|$(REPO_URI)",
    ]))?;
    let uri = targets.lines().find_map(|line| {
        line.strip_prefix(label)?
            .strip_prefix('|')
            .map(str::to_owned)
    });
    Ok(uri)
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
