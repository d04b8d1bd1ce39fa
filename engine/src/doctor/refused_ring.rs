//! Why a system gives no io_uring, and what its operator does about that. Pure, but for what the system says of itself.

use std::io::{Error, ErrorKind};

/// What a system says of itself, where it says anything.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct System {
    /// `kernel.io_uring_disabled`: 0 for all, 1 for a group and root, 2 for nobody. Kernels before 6.6 do not say.
    pub(super) disabled: Option<u32>,
    /// Whether this process's system calls are filtered (seccomp).
    pub(super) filtered: Option<bool>,
}

impl System {
    /// This one, now.
    pub(super) fn of_this_process() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        let status = read("/proc/self/status");
        let mode = status.as_deref().and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
            line.and_then(|mode| mode.trim().parse::<u32>().ok())
        });
        Self {
            disabled: read("/proc/sys/kernel/io_uring_disabled").and_then(|text| text.trim().parse().ok()),
            filtered: mode.map(|mode| mode == 2),
        }
    }
}

/// The reason, and what to do.
pub(super) fn advice(error: &Error, system: System) -> String {
    const PROFILE: &str = concat!(
        "this process's system calls are filtered (seccomp), as by default in containers: allow io_uring_setup, io_uring_enter and ",
        "io_uring_register in the container's profile (`--security-opt seccomp=FILE`), or in the unit's SystemCallFilter",
    );
    const UNTOLD: &str = "a seccomp profile, or a setting of the kernel, forbids it";
    let why = match (error.kind(), system) {
        (ErrorKind::PermissionDenied, System { disabled: Some(2), .. }) => {
            "the kernel forbids it to everybody: `sysctl kernel.io_uring_disabled=0`"
        }
        (ErrorKind::PermissionDenied, System { disabled: Some(1), .. }) => {
            "the kernel allows it to root and the group of `kernel.io_uring_group`: `sysctl kernel.io_uring_disabled=0`"
        }
        (
            ErrorKind::PermissionDenied,
            System {
                filtered: Some(true), ..
            },
        ) => PROFILE,
        (ErrorKind::PermissionDenied, _) => UNTOLD,
        // The kernel has it, and somebody says that it has not.
        (
            ErrorKind::Unsupported,
            System {
                disabled: Some(_),
                filtered: Some(true),
            },
        ) => PROFILE,
        (
            ErrorKind::Unsupported,
            System {
                filtered: Some(true), ..
            },
        ) => {
            "the kernel is too old for it or was built without it, or a seccomp profile says so: see what it does outside the container"
        }
        (ErrorKind::Unsupported, _) => "the kernel is too old for it, or was built without it",
        (ErrorKind::OutOfMemory, _) => {
            "there is no memory for it that may be locked: raise `ulimit -l` (of a service, `LimitMEMLOCK=`)"
        }
        _ => "the kernel does not say more",
    };
    format!("{error}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_refusing_is_told_with_how_to_allow_it() {
        let system = |disabled, filtered| System { disabled, filtered };
        for (kind, system, part) in [
            (
                ErrorKind::PermissionDenied,
                system(Some(2), Some(true)),
                "forbids it to everybody",
            ),
            (
                ErrorKind::PermissionDenied,
                system(Some(1), Some(false)),
                "kernel.io_uring_group",
            ),
            (
                ErrorKind::PermissionDenied,
                system(Some(0), Some(true)),
                "--security-opt",
            ),
            (ErrorKind::PermissionDenied, system(None, Some(true)), "--security-opt"),
            (
                ErrorKind::PermissionDenied,
                system(None, None),
                "a setting of the kernel",
            ),
            (ErrorKind::Unsupported, system(Some(0), Some(true)), "--security-opt"),
            (
                ErrorKind::Unsupported,
                system(None, Some(true)),
                "outside the container",
            ),
            (ErrorKind::Unsupported, system(None, Some(false)), "too old"),
            (ErrorKind::OutOfMemory, system(Some(0), None), "ulimit -l"),
            (ErrorKind::Other, system(None, None), "does not say more"),
        ] {
            let told = advice(&Error::from(kind), system);
            assert!(told.contains(part), "{kind:?} {system:?}: {told}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_whether_system_calls_are_filtered() {
        assert!(System::of_this_process().filtered.is_some());
    }
}
