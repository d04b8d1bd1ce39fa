//! docs/COMMANDS.md says what the program does.

use std::collections::BTreeSet;

use crate::program::*;

fn documented() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/COMMANDS.md");
    std::fs::read_to_string(path).unwrap()
}

fn help(arguments: &[&str]) -> String {
    text(&streamkit().args(arguments).arg("--help").output().unwrap().stdout)
}

/// The help of a command and of those below it.
fn help_of(name: &str) -> String {
    let own = help(&[name]);
    let below: Vec<String> = match own.contains("\nCommands:") {
        true => section(&own, "Commands:")
            .map(|line| line.split(' ').next().unwrap())
            .filter(|name| *name != "help")
            .map(|below| help(&[name, below]))
            .collect(),
        false => Vec::new(),
    };
    own.clone() + &below.concat()
}

/// The lines of a section of help, less their indentation.
fn section<'a>(help: &'a str, title: &str) -> impl Iterator<Item = &'a str> {
    let rest = help.split_once(title).unwrap().1;
    rest.lines()
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .map(str::trim)
}

/// The commands but `help`.
fn commands() -> Vec<String> {
    let help = help(&[]);
    let names = section(&help, "Commands:").map(|line| line.split(' ').next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

#[test]
fn every_command_has_its_section_with_an_example_in_the_order_of_help() {
    let documented = documented();
    let sections: Vec<&str> = documented.split("\n## ").skip(1).collect();
    let named = |name: &str| {
        sections
            .iter()
            .position(|section| section.starts_with(&format!("{name}\n")))
    };
    let mut last = 0;
    for name in commands() {
        let place = named(&name).unwrap_or_else(|| panic!("{name} has no section"));
        assert!(place > last, "{name} is out of order");
        last = place;
        let section = sections[place];
        assert!(section.contains(&format!("streamkit {name}")), "{name} has no example");
    }
    assert_eq!(last + 1, sections.len(), "a section of no command");
}

#[test]
fn the_exit_codes_are_those_of_help() {
    let help = help(&[]);
    let told: Vec<(String, String)> = section(&help, "Exit codes:")
        .map(|line| line.split_once(' ').unwrap())
        .map(|(code, meaning)| (code.to_owned(), meaning.trim().to_owned()))
        .collect();
    assert!(told.len() > 5);
    let documented = documented();
    let table: Vec<(String, String)> = documented
        .split_once("## Exit codes")
        .unwrap()
        .1
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
        .filter(|(code, _)| code.parse::<u8>().is_ok())
        .map(|(code, meaning)| (code.to_owned(), meaning.to_owned()))
        .collect();
    assert_eq!(table, told);
}

#[test]
fn help_fits_into_eighty_columns() {
    for name in commands() {
        for line in help_of(&name).lines().filter(|line| !line.starts_with("Usage: ")) {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

#[test]
fn every_option_in_an_example_exists_and_every_variable_is_documented() {
    let documented = documented();
    let mut variables = BTreeSet::new();
    for name in commands() {
        let help = help_of(&name);
        for line in documented
            .lines()
            .filter(|line| line.contains(&format!("streamkit {name} ")))
        {
            for option in line.split([' ', '`']).filter(|word| word.starts_with("--")) {
                assert!(help.contains(option), "{name} has no {option}");
            }
        }
        for variable in help
            .split("[env: ")
            .skip(1)
            .filter_map(|rest| rest.split(['=', ']']).next())
        {
            // Those of `serve`, which `config` is about, follow from their option.
            let option = variable
                .trim_start_matches("STREAMKIT_")
                .to_lowercase()
                .replace('_', "-");
            assert!(
                help.contains(&format!("--{option} ")) || help.contains(&format!("--{option}\n")),
                "{variable} is not named like an option"
            );
            if !["config", "serve"].contains(&name.as_str()) {
                variables.insert(variable.to_owned());
            }
        }
    }
    for variable in variables {
        assert!(
            documented.contains(&format!("`{variable}`")),
            "{variable} is not documented"
        );
    }
}

#[test]
fn the_fields_of_json_results_are_documented() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let documented = documented();
    let file = dir.path().join("a.csv");
    std::fs::write(&file, "k\nx\n").unwrap();
    let results = [
        served.run_with(&["produce", "s/a", "--json"], "{\"payload_base64\":\"/w==\"}\n"),
        served.run_with(&["produce", "s/a"], "text\n"),
        served.run(&["import", "s", file.to_str().unwrap(), "--json"]),
        served.run(&["consume", "s", "--json"]),
        served.run(&["spaces", "--json"]),
        served.run(&["segments", "s", "--json"]),
        served.run(&["status", "s", "--json"]),
        served.run(&[
            "bench",
            "--calls",
            "1",
            "--json",
            "--floor",
            dir.path().to_str().unwrap(),
        ]),
        served.run(&["bench", "--read", "s", "--json"]),
        served.run(&["top"]),
        served.run(&["backup", &served.url, dir.path().join("b").to_str().unwrap()]),
        streamkit()
            .args(["doctor", "--time", "10ms"])
            .arg(&served.data)
            .output()
            .unwrap(),
    ];
    served.kill();
    let restored = streamkit()
        .arg("restore")
        .args([dir.path().join("b"), dir.path().join("r")])
        .output()
        .unwrap();
    let results = results.into_iter().chain([verify(&served.data), restored]);
    for result in results {
        // A doctor may find that the tests' own folder is in memory.
        let broken = text(&result.stdout).contains("\"broken\"");
        assert!(result.status.success() || broken, "{}", text(&result.stderr));
        for line in lines(&result.stdout) {
            for field in fields(&line) {
                let spelled = [format!("`{field}`"), format!("\"{field}\"")];
                assert!(
                    spelled.iter().any(|s| documented.contains(s)),
                    "{field} is not documented"
                );
            }
        }
    }
}

fn fields(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| std::iter::once(key.clone()).chain(fields(value)))
            .collect(),
        serde_json::Value::Array(items) => items.iter().flat_map(fields).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_is_missing_is_said_with_where_to_get_it() {
    for arguments in [&["spaces"][..], &["produce", "s/a"], &["spaces", "--token", "t"]] {
        let done = streamkit().args(arguments).output().unwrap();
        assert_eq!(done.status.code(), Some(2));
        let said = text(&done.stderr);
        assert!(said.contains("run `streamkit dev`"), "{said}");
    }
    for arguments in [&["serve"][..], &["token", "--store", "*"]] {
        let said = text(&streamkit().args(arguments).output().unwrap().stderr);
        assert!(said.contains("openssl rand"), "{said}");
    }
    let store = text(
        &streamkit()
            .args(["token", "--jwt-key-file", "k"])
            .output()
            .unwrap()
            .stderr,
    );
    assert!(!store.contains("streamkit dev"), "{store}");
}
