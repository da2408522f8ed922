//! The guest's first process: a script that makes an ordinary host of the kernel, does what it is there for, and powers off.

use std::fmt::Write;

/// Begins each line that is for the host to read.
pub(crate) const MARK: &str = "@@xtask";

/// File systems and cgroup controllers as a systemd host has them, on the unified hierarchy alone.
const HOST: &str = r"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root TERM=dumb RUST_BACKTRACE=1
export CROSSTALK_BIN=/bin/crosstalk CROSSTALK_LOADS=/bin/loads CROSSTALK_EXT4_IMAGE=/ext4.img
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for folder in /dev/shm /run /tmp; do mount -t tmpfs tmpfs $folder; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
for controller in cpu cpuset io memory pids; do
    echo +$controller > /sys/fs/cgroup/cgroup.subtree_control
done
hostname crosstalk-vm
ip link set lo up
";

/// A program that the guest runs.
pub(crate) struct Step {
    /// What it is called on the console.
    pub(crate) name: String,
    /// A line for the shell.
    pub(crate) command: String,
}

impl Step {
    /// A test program, of whose tests those run that a word of `filter` names.
    pub(crate) fn test(name: &str, filter: &[String]) -> Self {
        let filter: Vec<String> = filter.iter().map(|word| quoted(word)).collect();
        let filter = filter.join(" ");
        Self {
            name: name.to_owned(),
            command: format!("/tests/{name} --test-threads=1 --nocapture {filter}"),
        }
    }
}

/// The whole script.
pub(crate) fn script(modules: &[String], steps: &[Step]) -> String {
    let mut script = HOST.to_owned();
    for module in modules {
        line(
            &mut script,
            &format!("insmod /modules/{module}{}", parameters(module)),
        );
    }
    line(&mut script, "mount -t configfs configfs /sys/kernel/config");
    line(
        &mut script,
        &format!("echo; echo '{MARK} ready' $(uname -r) $(cut -d' ' -f1 /proc/uptime)"),
    );
    for Step { name, command } in steps {
        line(&mut script, &format!("echo; echo '{MARK} begin {name}'"));
        line(&mut script, &format!("(cd /tmp && {command}) 2>&1"));
        line(
            &mut script,
            &format!("status=$?; echo; echo '{MARK} end {name}' $status"),
        );
    }
    line(&mut script, &format!("echo '{MARK} done'"));
    line(&mut script, "sync; poweroff -f");
    script
}

/// No device is there before a test makes one.
fn parameters(module: &str) -> &'static str {
    match module {
        "null_blk.ko" => " nr_devices=0",
        "scsi_debug.ko" => " add_host=0",
        _ => "",
    }
}

fn line(script: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(script, "{text}");
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_bring_no_devices_of_their_own() {
        let script = script(&["configfs.ko".into(), "null_blk.ko".into()], &[]);
        assert!(
            script.contains(
                "insmod /modules/configfs.ko\ninsmod /modules/null_blk.ko nr_devices=0\n"
            )
        );
    }

    #[test]
    fn a_filter_reaches_every_test_as_it_was_typed() {
        let filter = ["it's".into()];
        let steps = ["kernel_a", "oracle_b"].map(|name| Step::test(name, &filter));
        let script = script(&[], &steps);
        assert!(script.contains(r"/tests/kernel_a --test-threads=1 --nocapture 'it'\''s')"));
        assert!(script.contains(r"/tests/oracle_b --test-threads=1 --nocapture 'it'\''s')"));
    }
}
