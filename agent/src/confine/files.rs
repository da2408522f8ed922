//! Landlock: no file is written, made, removed or executed, and nothing listens on a port.
//!
//! See Documentation/userspace-api/landlock.rst of the kernel. Reading stays as it is: names, limits
//! and certificates come from all over the host.

use landlock::{
    ABI, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use super::{Gap, Needs};

/// The newest that was tried. Kernels that know less do less.
const NEWEST: ABI = ABI::V6;
const WHAT: &str = "files are not kept from being written";

pub(super) fn keep_from_writing(needs: &Needs<'_>) -> Result<(), Gap> {
    let status = restrict(needs).map_err(|error| Gap::new(WHAT, &error))?;
    match status {
        RulesetStatus::NotEnforced => Err(Gap::new(WHAT, &"this kernel runs without Landlock")),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

fn restrict(needs: &Needs<'_>) -> Result<RulesetStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_write(NEWEST) | AccessFs::Execute)?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::Signal)?
        .create()?;
    let sockets = AccessFs::MakeSock | AccessFs::RemoveFile;
    for (folder, own) in [
        (needs.sockets, sockets),
        (needs.folders, AccessFs::RemoveDir.into()),
    ] {
        // One that cannot be opened needs no permission.
        if let Some(folder) = folder.and_then(|folder| PathFd::new(folder).ok()) {
            rules = rules.add_rule(PathBeneath::new(folder, own))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}
