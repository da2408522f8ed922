//! Capabilities, see capabilities(7). They belong to a thread each.

use std::thread;

use caps::{CapSet, Capability, CapsHashSet};

use super::Gap;

/// Leaves this thread one or nothing, and no way to get more.
pub(super) fn drop_all_but(kept: Option<Capability>) -> Result<(), Gap> {
    let kept: CapsHashSet = kept.into_iter().collect();
    let gap = |error| Gap::new("capabilities cannot be given up", &error);
    // Who may not narrow the bounding set cannot execute programs either, see `calls`.
    for other in caps::all().difference(&kept) {
        let _ = caps::drop(None, CapSet::Bounding, *other);
    }
    // Kernels before 4.3 have none, and then there is nothing to clear.
    let _ = caps::clear(None, CapSet::Ambient);
    let had = caps::read(None, CapSet::Permitted).map_err(gap)?;
    let kept: CapsHashSet = kept.intersection(&had).copied().collect();
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).map_err(gap)?;
    caps::set(None, CapSet::Effective, &kept).map_err(gap)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(gap)
}

/// What `attempt` comes to without any capability; `None` where they cannot be given up.
pub fn without_any<T: Send>(attempt: impl FnOnce() -> T + Send) -> Option<T> {
    let bare = || {
        caps::clear(None, CapSet::Effective).ok()?;
        caps::clear(None, CapSet::Permitted).ok()?;
        Some(attempt())
    };
    thread::scope(|scope| scope.spawn(bare).join().ok().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_has_no_capability_and_leaves_those_of_others() {
        let read = |set| caps::read(None, set).unwrap();
        let before = read(CapSet::Permitted);
        let bare = without_any(|| [CapSet::Permitted, CapSet::Effective].map(read));
        assert_eq!(bare, Some([CapsHashSet::new(), CapsHashSet::new()]));
        assert_eq!(read(CapSet::Permitted), before);
    }

    #[test]
    fn nothing_is_left_but_what_is_kept() {
        let dropped = |kept: Option<Capability>| {
            let thread = thread::spawn(move || {
                drop_all_but(kept).unwrap();
                [CapSet::Permitted, CapSet::Effective, CapSet::Inheritable]
                    .map(|set| caps::read(None, set).unwrap())
            });
            thread.join().unwrap()
        };
        let none = CapsHashSet::new();
        assert_eq!(dropped(None), [none.clone(), none.clone(), none.clone()]);
        let may = caps::has_cap(None, CapSet::Permitted, Capability::CAP_BPF).unwrap();
        let bpf: CapsHashSet = may.then_some(Capability::CAP_BPF).into_iter().collect();
        assert_eq!(dropped(Some(Capability::CAP_BPF)), [bpf.clone(), bpf, none]);
    }
}
