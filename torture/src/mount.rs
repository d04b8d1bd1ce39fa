//! A file system on a loop device that the test can take away; needs the right to mount.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The ext4 ioctl that stops all writing at once, without writing the journal: what a power cut leaves. There is no call for it
/// in a safe library.
const SHUT_DOWN: &str = "import fcntl, os, struct, sys\n\
                         fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

/// It is unmounted, and its image removed, when this is dropped.
pub struct Mount {
    folder: tempfile::TempDir,
    image: PathBuf,
    dir: PathBuf,
}

fn call(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{program} {}: {said}", arguments.join(" "))))
}

impl Mount {
    /// Whether this process may mount, and has what it takes.
    ///
    /// # Errors
    /// Why not.
    pub fn is_possible() -> io::Result<()> {
        call("python3", &["--version"])?;
        let mount = Self::new(&std::env::temp_dir(), 16)?;
        mount.shut_down()
    }

    /// Makes one of so many megabytes; its image is a file in `dir`.
    ///
    /// # Errors
    /// Of the programs that do it.
    pub fn new(dir: &Path, megabytes: u64) -> io::Result<Self> {
        let folder = tempfile::tempdir_in(dir)?;
        let (image, mounted) = (folder.path().join("image"), folder.path().join("mounted"));
        std::fs::File::create(&image)?.set_len(megabytes << 20)?;
        std::fs::create_dir(&mounted)?;
        call("mkfs.ext4", &["-q", "-F", &image.to_string_lossy()])?;
        let mount = Self {
            folder,
            image,
            dir: mounted,
        };
        mount.mount()?;
        Ok(mount)
    }

    fn mount(&self) -> io::Result<()> {
        call(
            "mount",
            &["-o", "loop", &self.image.to_string_lossy(), &self.dir.to_string_lossy()],
        )
    }

    /// Where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Nothing more is written, as if the power were gone.
    ///
    /// # Errors
    /// Of the programs that do it.
    pub fn shut_down(&self) -> io::Result<()> {
        call("python3", &["-c", SHUT_DOWN, &self.dir.to_string_lossy()])
    }

    /// It becomes read-only, as after an error of its device.
    ///
    /// # Errors
    /// Of the programs that do it.
    pub fn abort(&self) -> io::Result<()> {
        call("mount", &["-o", "remount,abort", &self.dir.to_string_lossy()])
    }

    /// Mounts it again: its journal is replayed.
    ///
    /// # Errors
    /// Of the programs that do it.
    pub fn again(&self) -> io::Result<()> {
        self.unmount()?;
        self.mount()
    }

    /// The system may take a moment to end what a killed process had under way.
    fn unmount(&self) -> io::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let since = Instant::now();
        loop {
            match call("umount", &[&self.dir.to_string_lossy()]) {
                Err(_) if since.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
                outcome => return outcome,
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("{} stays mounted: {error}", self.folder.path().display());
        }
    }
}
