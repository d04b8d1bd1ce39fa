//! The house rules, checked on the sources themselves.

use streamkit_tidy::{files, files_in, root};

#[test]
fn every_source_file_says_first_what_it_is_and_stays_small() {
    for (path, text) in files("rs") {
        assert!(text.starts_with("//! "), "{} has no header", path.display());
        let lines = text.lines().count();
        let of_tests = ["/tests/", "/tests.rs"];
        let is_test = of_tests.iter().any(|part| path.to_string_lossy().contains(part));
        let is_in = |folder: &str| path.starts_with(root().join(folder));
        let is_product = ["azure/src", "engine/src", "hosts/src", "server/src", "cli/src"]
            .into_iter()
            .any(is_in);
        let most = match is_product && !is_test {
            true => 400,
            false => 600,
        };
        assert!(lines <= most, "{} has {lines} lines", path.display());
    }
}

#[test]
fn no_unsafe_outside_the_disk_module_and_no_leftovers() {
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["X", "XX"].concat(),
        ["unimpl", "emented!"].concat(),
    ];
    for (path, text) in files("rs") {
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{} has a {mark}", path.display());
        }
        let word = ["unsafe", " {"].concat();
        let disk = path.starts_with(root().join("engine/src/disk"));
        assert!(disk || !text.contains(&word), "{} has unsafe code", path.display());
    }
}

/// Other systems' compilers are not at hand here, so this stands in for them: what is Linux's alone is in files that only
/// Linux compiles.
#[test]
fn only_files_for_linux_name_what_linux_alone_has() {
    let words = ["libc", "io_uring", "std::os::fd", "std::os::linux", "O_DIRECT"];
    let linux = ["direct", "ring"].map(|name| (format!("engine/src/disk/{name}.rs"), format!("pub mod {name};")));
    let doors = std::fs::read_to_string(root().join("engine/src/disk/mod.rs")).unwrap();
    for (_, door) in &linux {
        let before = doors.split(door.as_str()).next().unwrap();
        let attributes = before.rsplit(';').next().unwrap();
        assert!(
            attributes.contains("cfg(target_os = \"linux\")"),
            "{door} is for Linux alone"
        );
    }
    for (path, text) in files("rs") {
        let allowed = linux.iter().any(|(file, _)| path == root().join(file));
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|_| !allowed && path.starts_with(root().join("engine/src"))) {
            let strings_aside: String = line.split('"').step_by(2).collect();
            for word in words {
                assert!(!strings_aside.contains(word), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn crates_depend_on_each_other_only_as_the_architecture_says() {
    // Each with what it depends on, and what its tests do beside that.
    let allowed: &[(&str, &str, &str)] = &[
        ("azure", "engine", "conformance azure"),
        ("engine/record", "", ""),
        ("engine", "record", "conformance"),
        ("engine/conformance", "engine", ""),
        ("client/protocol", "record", ""),
        ("client", "protocol record", ""),
        ("client/conformance", "client", "engine server-core"),
        ("hosts", "azure client engine server-core", "conformance"),
        ("server", "engine protocol record", "client"),
        ("cli", "azure client engine hosts server-core", "protocol"),
        ("torture", "engine", ""),
        ("torture/azure", "azure torture", ""),
        ("torture/hosts", "azure client engine torture-wire", ""),
        ("torture/wire", "client engine protocol server-core torture", ""),
    ];
    for (folder, of_crate, of_tests) in allowed {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let (own, tests) = manifest.split_once("[dev-dependencies]").unwrap_or((&manifest, ""));
        for (table, allowed) in [(own, of_crate), (tests, of_tests)] {
            let found: Vec<&str> = table
                .lines()
                .filter_map(|line| line.strip_prefix("streamkit-")?.split(['.', ' ']).next())
                .collect();
            assert_eq!(&found.join(" "), allowed, "{folder}");
        }
        // The engine's differ in one: its disk module may have unsafe code.
        let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let lints = |text: &str, table: &str| {
            text.split(table)
                .nth(1)
                .map(|rest| rest.split("\n\n").next().unwrap().trim_end().to_owned())
        };
        let shared = lints(&workspace, "[workspace.lints.clippy]\n");
        let own = lints(&manifest, "[lints.clippy]\n");
        assert!(
            manifest.contains("[lints]\nworkspace = true") || *folder == "engine" && own == shared,
            "{folder} does not share the lints"
        );
    }
    for (path, text) in files_in(&root().join("server/src/verbs"), "rs") {
        assert!(
            !text.contains("streamkit_protocol"),
            "{}: verbs know no version of the protocol",
            path.display()
        );
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let list = manifest
        .split("[workspace.dependencies]")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    for line in list
        .lines()
        .filter(|line| line.contains('=') && !line.starts_with("streamkit-"))
    {
        assert!(line.contains(" # "), "no reason: {line}");
    }
}

#[test]
fn the_architecture_fits_on_a_few_pages() {
    let text = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    assert!(text.lines().count() <= 300);
}
