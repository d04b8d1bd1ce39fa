//! The machine of a measurement, without which figures mean nothing.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Outcome;

/// A machine, its system and the disk under a folder.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processor's name and how many cores this process may use.
    pub processor: String,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// Kernel release.
    pub kernel: String,
    /// File system and mount options of the folder.
    pub file_system: String,
    /// Block device and its write cache.
    pub device: String,
}

impl Machine {
    /// Asks the kernel about itself and about the folder.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub fn of(dir: &Path) -> Outcome<Self> {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo")?;
        let meminfo = std::fs::read_to_string("/proc/meminfo")?;
        let after = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
                .unwrap_or_else(|| "unknown".into())
        };
        let memory = after(&meminfo, "MemTotal")
            .split(' ')
            .next()
            .and_then(|kib| kib.parse::<u64>().ok());
        let (device, kind, options) = mount(&dir.canonicalize()?)?;
        Ok(Self {
            processor: format!(
                "{}, {} cores",
                after(&cpuinfo, "model name"),
                std::thread::available_parallelism()?
            ),
            memory_gib: memory.unwrap_or(0) >> 20,
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system: format!("{kind} ({options})"),
            device: format!("{device}{}", write_cache(&device)),
        })
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({"processor": self.processor, "memory_gib": self.memory_gib, "kernel": self.kernel,
            "file_system": self.file_system, "device": self.device})
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "machine      {}, {} GiB\nkernel       {}\nfile system  {}\ndevice       {}",
            self.processor, self.memory_gib, self.kernel, self.file_system, self.device
        )
    }
}

/// The mount that holds a folder: device, kind, options.
fn mount(dir: &Path) -> Outcome<(String, String, String)> {
    let mounts = std::fs::read_to_string("/proc/mounts")?;
    let holding = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, at, kind, options) = (words.next()?, words.next()?, words.next()?, words.next()?);
        dir.starts_with(at)
            .then(|| (at.len(), (device.to_owned(), kind.to_owned(), options.to_owned())))
    });
    // The last of the longest: a later mount hides an earlier one.
    let found = holding.max_by_key(|(length, _)| *length);
    found
        .map(|(_, mount)| mount)
        .ok_or_else(|| format!("no mount holds {}", dir.display()).into())
}

fn write_cache(device: &str) -> String {
    let name = device.rsplit('/').next().unwrap_or_default();
    let read = |what: &str| std::fs::read_to_string(format!("/sys/block/{name}/queue/{what}")).unwrap_or_default();
    let (cache, scheduler) = (read("write_cache"), read("scheduler"));
    let scheduler = scheduler
        .split('[')
        .nth(1)
        .and_then(|rest| rest.split(']').next())
        .unwrap_or("none");
    if cache.is_empty() {
        String::new()
    } else {
        format!(", {} cache, scheduler {scheduler}", cache.trim())
    }
}

/// The commit that is measured, with a `+` if files differ from it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--", ":!benches/results"]).is_some_and(|changes| !changes.is_empty());
    git(&["rev-parse", "--short", "HEAD"]).map_or_else(
        || "unknown".into(),
        |hash| format!("{hash}{}", if changed { "+" } else { "" }),
    )
}

/// Now, in UTC.
pub fn date() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()
}
