//! Faults that are planted into a copy of the sources, one at a time, to show that a torture finds them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What comes of planting, or why it failed.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A fault: one place of the source, and what stands there instead.
pub struct Mutant {
    /// What is wrong.
    pub name: &'static str,
    file: &'static str,
    is: &'static str,
    becomes: &'static str,
    way: Option<&'static str>,
}

/// A fault of this name: in a file below the root, what is there once and what it becomes.
pub const fn mutant(name: &'static str, file: &'static str, is: &'static str, becomes: &'static str) -> Mutant {
    Mutant {
        name,
        file,
        is,
        becomes,
        way: None,
    }
}

impl Mutant {
    /// The same, which shows only in this way.
    pub const fn only_by(self, way: &'static str) -> Self {
        Self { way: Some(way), ..self }
    }

    fn shows_by(&self, way: &Way<'_>) -> bool {
        let is_usual = way.beside.is_none() && way.tests.is_none();
        self.way.map_or(is_usual, |word| word == way.word)
    }

    /// In how many places it could be planted; one is right.
    pub fn places(&self, root: &Path) -> usize {
        fs::read_to_string(root.join(self.file)).map_or(0, |source| source.matches(self.is).count())
    }

    /// Plants it into a copy.
    ///
    /// # Errors
    /// Its place is not there once.
    pub fn plant(&self, copy: &Path) -> Outcome<()> {
        let path = copy.join(self.file);
        let places = self.places(copy);
        if places != 1 {
            return Err(format!("{}: {places} places in {} for: {}", self.name, self.file, self.is).into());
        }
        fs::write(&path, fs::read_to_string(&path)?.replace(self.is, self.becomes))?;
        Ok(())
    }
}

/// How faults are looked for: a program that prints `seed N fails` where one shows.
pub struct Search<'a> {
    /// The workspace.
    pub root: PathBuf,
    /// Where the copy is made and built, below it.
    pub dir: &'a Path,
    /// The package of the program, its name, and the profile that it is built with.
    pub program: (&'a str, &'a str, &'a str),
    /// How it is run, one after the other.
    pub ways: Vec<Way<'a>>,
}

/// A way in which a fault may show.
pub struct Way<'a> {
    /// A word for it.
    word: &'a str,
    arguments: Vec<String>,
    beside: Option<(&'a str, &'a str)>,
    /// The package whose tests are run, and no program.
    tests: Option<&'a str>,
}

impl<'a> Way<'a> {
    /// One of this name: what the program is run with.
    pub fn new(word: &'a str, arguments: &str) -> Self {
        Self {
            word,
            arguments: arguments.split(' ').map(str::to_owned).collect(),
            beside: None,
            tests: None,
        }
    }

    /// The tests of a package, in its library and in its suite. Only faults that show in no other way are looked for in this one.
    pub fn tests(word: &'a str, package: &'a str) -> Self {
        Self {
            word,
            arguments: ["test", "--locked", "--quiet", "--lib", "--test", "suite", "-p", package]
                .map(str::to_owned)
                .into(),
            beside: None,
            tests: Some(package),
        }
    }

    /// The same, which needs another program, of a package and a name. Only faults that show in no other way are looked for in this one.
    #[must_use]
    pub fn beside(self, package: &'a str, program: &'a str) -> Self {
        Self {
            beside: Some((package, program)),
            ..self
        }
    }
}

impl Search<'_> {
    /// Plants each of these faults whose name contains `only`, and tells what caught it, or that nothing did. Fails if one was missed.
    pub fn run(&self, mutants: &[Mutant], only: &str) -> ExitCode {
        match self.all(mutants, only) {
            Ok(0) => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    /// How many were missed.
    fn all(&self, mutants: &[Mutant], only: &str) -> Outcome<usize> {
        let root = self.root.canonicalize()?;
        let copy = root.join(self.dir).join("source");
        let (mut caught, mut missed) = (0, 0);
        for mutant in mutants.iter().filter(|mutant| mutant.name.contains(only)) {
            copy_sources(&root, &copy)?;
            mutant.plant(&copy)?;
            let ways: Vec<&Way<'_>> = self.ways.iter().filter(|way| mutant.shows_by(way)).collect();
            match self.caught_by(&copy, &ways)? {
                Some(which) => {
                    caught += 1;
                    println!("caught by {which:>12}: {}", mutant.name);
                }
                None => {
                    missed += 1;
                    let ways = ways.iter().map(|way| way.arguments.join(" "));
                    let ways = ways.collect::<Vec<_>>().join(", nor with ");
                    println!("NOT CAUGHT with {ways}: {}", mutant.name);
                }
            }
        }
        println!("{caught} faults caught, {missed} not");
        Ok(missed)
    }

    /// Builds the copy and runs it.
    fn caught_by(&self, copy: &Path, ways: &[&Way<'_>]) -> Outcome<Option<String>> {
        for way in ways {
            let caught = match way.tests {
                Some(package) => caught_by_tests(copy, way, package)?,
                None => self.caught_by_program(copy, way)?,
            };
            if caught.is_some() {
                return Ok(caught);
            }
        }
        Ok(None)
    }

    fn caught_by_program(&self, copy: &Path, way: &Way<'_>) -> Outcome<Option<String>> {
        let (package, program, profile) = self.program;
        let programs = way.beside.into_iter().chain([(package, program)]);
        let mut build = cargo(copy);
        build
            .args(["build", "--locked", "--profile", profile])
            .args(programs.flat_map(|(package, program)| ["-p", package, "--bin", program]));
        built(build)?;
        // Cargo has another name for the folder of this one profile.
        let folder = if profile == "dev" { "debug" } else { profile };
        let run = Command::new(target(copy).join(folder).join(program))
            .args(&way.arguments)
            .output()?;
        let text = String::from_utf8_lossy(&run.stderr).into_owned() + &String::from_utf8_lossy(&run.stdout);
        let failed = text
            .lines()
            .find_map(|line| line.strip_prefix("seed ")?.split_once(" fails"));
        match failed {
            Some((seed, _)) => Ok(Some(format!("{} {seed}", way.word))),
            None if run.status.success() => Ok(None),
            None => Err(text.into()),
        }
    }
}

/// Seconds that all tests of a package may take, many times what they need.
const LONGEST_SECONDS: &str = "900";

/// The first test that fails.
fn caught_by_tests(copy: &Path, way: &Way<'_>, package: &str) -> Outcome<Option<String>> {
    let mut build = cargo(copy);
    build.args(&way.arguments).arg("--no-run");
    built(build)?;
    // What waits for something that never comes is caught, too.
    let mut run = Command::new("timeout");
    run.arg(LONGEST_SECONDS).arg("cargo").args(&way.arguments);
    let run = run.env("CARGO_TARGET_DIR", target(copy)).current_dir(copy).output()?;
    match run.status.code() {
        Some(0) => return Ok(None),
        Some(124) => return Ok(Some("a test that waits for ever".to_owned())),
        _ => {}
    }
    let text = String::from_utf8_lossy(&run.stdout);
    let mut names = text
        .lines()
        .filter_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
    let name = names
        .next()
        .ok_or_else(|| format!("the tests of {package} end without a result: {text}"))?;
    Ok(Some(name.to_owned()))
}

fn cargo(copy: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.env("CARGO_TARGET_DIR", target(copy)).current_dir(copy);
    cargo
}

fn target(copy: &Path) -> PathBuf {
    copy.with_file_name("target")
}

fn built(mut build: Command) -> Outcome<()> {
    let done = build.output()?;
    match done.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&done.stderr).into_owned().into()),
    }
}

/// Copies what is built, and touches only what differs, so that the rest is not built again.
fn copy_sources(from: &Path, to: &Path) -> Outcome<()> {
    fs::create_dir_all(to)?;
    for name in ["Cargo.toml", "Cargo.lock"] {
        copy(&from.join(name), &to.join(name))?;
    }
    // The server's program has some pages in it.
    copy(&from.join("docs"), &to.join("docs"))?;
    // Every member of the workspace, or its manifest does not load; `fuzz` is none.
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name() != "fuzz" && entry.path().join("Cargo.toml").exists() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        // What an earlier copy had, and is not there any more.
        for entry in fs::read_dir(to)? {
            let entry = entry?;
            if !from.join(entry.file_name()).exists() {
                match entry.file_type()?.is_dir() {
                    true => fs::remove_dir_all(entry.path())?,
                    false => fs::remove_file(entry.path())?,
                }
            }
        }
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else {
        let bytes = fs::read(from)?;
        if fs::read(to).ok().as_ref() != Some(&bytes) {
            fs::write(to, bytes)?;
        }
    }
    Ok(())
}
