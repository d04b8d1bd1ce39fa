//! Judges a folder for its operator, by its file system and the measurements. Pure.

use std::time::Duration;

use crate::disk::Ground;

use super::report::{Diagnosis, Examination, Finding, Method, Severity};

/// No device makes a write durable faster; the way to it and back takes that long.
pub const IMPLAUSIBLE: Duration = Duration::from_micros(10);

/// Flushing a volatile cache, into flash or onto a platter, takes longer than this.
pub const IMPLAUSIBLE_FLUSH: Duration = Duration::from_micros(50);

/// Free bytes below which the operator gets a warning.
const FREE_BYTES_LOW: u64 = 1 << 30;

/// Whether a folder is in memory.
fn is_in_memory(ground: &Ground) -> bool {
    let device = ground.device.as_deref().unwrap_or_default();
    let kind = ground.file_system.as_deref().unwrap_or_default();
    ["tmpfs", "ramfs"].contains(&kind) || ["/dev/ram", "/dev/zram"].iter().any(|name| device.starts_with(name))
}

/// Findings about the file system, without measuring.
pub fn judge_ground(ground: &Ground) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |severity, what: String| findings.push(Finding { severity, what });
    let kind = ground.file_system.as_deref().unwrap_or("unknown");
    let remote = ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "virtiofs"];
    if is_in_memory(ground) {
        let memory = ["tmpfs", "ramfs"].contains(&kind);
        let name = if memory {
            kind
        } else {
            ground.device.as_deref().unwrap_or(kind)
        };
        let what = format!("{name} is memory: nothing in it survives the loss of power; choose a folder on a disk");
        say(Severity::Broken, what);
    } else if kind == "overlay" {
        let what = "overlay is a container's own layer, which goes with the container; mount a volume for the data";
        say(Severity::Broken, what.to_owned());
    } else if remote.contains(&kind) || kind.starts_with("fuse") {
        say(
            Severity::Warning,
            format!(
                "{kind}: another machine or program keeps the data, and what a sync means is up to it; use a local disk"
            ),
        );
    }
    if ["zfs", "bcachefs", "nilfs2"].contains(&kind) {
        let what = format!(
            "{kind} writes changed blocks elsewhere: room that was taken beforehand is not kept, and on a full disk a write can fail, \
             which halts its store until a restart; leave room (--keep-free-bytes), or use ext4, xfs or btrfs"
        );
        say(Severity::Warning, what);
    }
    if is_unflushed(ground) {
        let what = "it is mounted with `nobarrier`: a sync does not flush the device's cache, which may be volatile; mount it \
                    without";
        say(Severity::Broken, what.to_owned());
    }
    findings
}

fn is_unflushed(ground: &Ground) -> bool {
    ground.syncs_flush == Some(false) && ground.volatile_cache != Some(false)
}

/// Findings about it.
pub(super) fn judge(found: &Diagnosis, how: &Examination) -> Vec<Finding> {
    let ground = &found.ground;
    let mut findings = judge_ground(ground);
    let mut say = |severity, what: String| findings.push(Finding { severity, what });
    let (in_memory, unflushed) = (is_in_memory(ground), is_unflushed(ground));
    let chosen = if found.direct {
        Method::Direct
    } else {
        Method::PreparedSync
    };
    if let Some(measured) = found.measured.iter().find(|measured| measured.method == chosen)
        && !in_memory
    {
        let p50 = measured.p50;
        if p50 < IMPLAUSIBLE {
            let what = format!(
                "half of the durable writes took {p50:.1?} or less; no device answers within {IMPLAUSIBLE:?}: something \
                 confirms what it only keeps in memory"
            );
            say(Severity::Broken, what);
        } else if p50 < IMPLAUSIBLE_FLUSH && ground.volatile_cache != Some(false) && !unflushed {
            let cache = match ground.volatile_cache {
                Some(_) => "the system says that the device's cache is volatile",
                None => "the system does not say whether the device's cache is volatile",
            };
            let what = format!(
                "{cache}, and half of the durable writes took {p50:.1?} or less, which is too fast to have flushed one \
                 ({IMPLAUSIBLE_FLUSH:?}): the cache may lie; ask who runs the device, or cut its power under load and see \
                 whether all that was acknowledged is there"
            );
            say(Severity::Warning, what);
        }
    }
    if !found.direct {
        say(
            Severity::Warning,
            "this file system refuses direct writes: commits go through the page cache, with a sync each, and with threads"
                .to_owned(),
        );
    }
    if let Some(why) = &found.ring_refused {
        let what = format!("io_uring is not to be had, and many stores commit slower, with threads: {why}");
        say(Severity::Warning, what);
    }
    if let Some(free) = found.free_bytes.filter(|&free| free < FREE_BYTES_LOW) {
        let what = format!(
            "only {} MiB are free; a server refuses what would leave less than {} MiB (--keep-free-bytes): make room",
            free >> 20,
            how.keep_free_bytes >> 20
        );
        say(Severity::Warning, what);
    }
    let wanted = how.open_files;
    if let Some(files) = ground.open_files.filter(|&files| files < wanted) {
        let what = format!(
            "this process may have {files} files open; a server with its default limits may want {wanted}: where it is \
             started, raise `ulimit -n` (of a service, `LimitNOFILE=`), or lower --open-stores and --connections"
        );
        say(Severity::Warning, what);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Ground;
    use crate::doctor::Measured;
    use crate::doctor::tests::HOW;

    fn diagnosis(p50: Duration, ground: Ground) -> Diagnosis {
        let measured = Measured {
            method: Method::Direct,
            writes: 1000,
            p50,
            p99: p50,
            per_second: 1.0,
        };
        let mut diagnosis = Diagnosis {
            ground,
            free_bytes: Some(1 << 40),
            direct: true,
            ring_refused: None,
            commit_method: "io_uring",
            measured: vec![measured],
            alone_per_second: 1.0,
            together_per_second: 1.0,
            findings: Vec::new(),
        };
        diagnosis.findings = judge(&diagnosis, &HOW);
        diagnosis
    }

    fn on(kind: &str, volatile_cache: bool) -> Ground {
        Ground {
            file_system: Some(kind.to_owned()),
            volatile_cache: Some(volatile_cache),
            syncs_flush: Some(true),
            open_files: Some(1 << 20),
            device: None,
        }
    }

    #[test]
    fn what_breaks_the_promise_is_told_from_what_is_only_slow_or_suspicious() {
        let micros = Duration::from_micros;
        let honest = diagnosis(micros(500), on("ext4", true));
        assert!(honest.findings.is_empty(), "{honest:?}");
        let fast = diagnosis(micros(20), on("ext4", false));
        assert!(
            fast.findings.is_empty(),
            "a device without a volatile cache may be that fast"
        );
        let suspicious = diagnosis(micros(20), on("ext4", true));
        assert!(suspicious.keeps_the_promise() && suspicious.findings[0].what.contains("may lie"));
        for broken in [
            diagnosis(micros(2), on("ext4", false)),
            diagnosis(micros(500), on("tmpfs", false)),
            diagnosis(micros(500), on("overlay", false)),
        ] {
            assert!(!broken.keeps_the_promise(), "{broken:?}");
        }
        let remote = diagnosis(micros(500), on("nfs4", false));
        assert!(remote.keeps_the_promise() && remote.findings.len() == 1);
        let mut poor = on("xfs", true);
        poor.open_files = Some(1024);
        let mut poor = diagnosis(micros(500), poor);
        assert_eq!(poor.findings.len(), 1);
        poor.free_bytes = Some(1 << 20);
        assert_eq!(judge(&poor, &HOW).len(), 2);
    }

    #[test]
    fn a_file_system_that_writes_changed_blocks_elsewhere_is_told_of() {
        let found = |kind| diagnosis(Duration::from_micros(500), on(kind, false)).findings;
        assert!(found("zfs")[0].what.contains("elsewhere"));
        assert!(found("btrfs").is_empty(), "there it can be asked not to");
    }

    #[test]
    fn what_the_system_does_not_say_of_a_cache_is_not_taken_for_good() {
        let micros = Duration::from_micros;
        let unknown = Ground {
            volatile_cache: None,
            ..on("xfs", true)
        };
        let fast = diagnosis(micros(20), unknown.clone());
        assert!(fast.keeps_the_promise() && fast.findings[0].what.contains("does not say"));
        assert!(diagnosis(micros(500), unknown.clone()).findings.is_empty());
        let without_barriers = |ground| Ground {
            syncs_flush: Some(false),
            ..ground
        };
        for ground in [on("ext4", true), unknown] {
            let lost = diagnosis(micros(500), without_barriers(ground));
            assert!(!lost.keeps_the_promise() && lost.findings[0].what.contains("nobarrier"));
        }
        let kept = diagnosis(micros(500), without_barriers(on("ext4", false)));
        assert!(kept.findings.is_empty(), "a cache that keeps needs no flush");
        for device in ["/dev/ram0", "/dev/zram1"] {
            let mut ground = on("ext4", false);
            ground.device = Some(device.to_owned());
            assert!(!diagnosis(micros(500), ground).keeps_the_promise(), "{device}");
        }
    }
}
