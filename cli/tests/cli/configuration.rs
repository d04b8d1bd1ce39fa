//! The settings of `serve`: the table of docs/CONFIGURATION.md, `config check` and `config show`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::*;

fn config(arguments: &[&str], file: &Path) -> (Option<i32>, Vec<Value>, String) {
    let done = streamkit().arg("config").args(arguments).arg(file).output().unwrap();
    (done.status.code(), lines(&done.stdout), text(&done.stderr))
}

/// The row that the table has to have of an option.
fn row(option: &Value) -> String {
    let text = |field: &str| option[field].as_str().unwrap();
    let values = option["values"].as_array().unwrap().iter();
    let default = match values
        .map(|value| value.as_str().unwrap())
        .collect::<Vec<_>>()
        .join(", ")
    {
        none if none.is_empty() => "–".to_owned(),
        values => format!("`{values}`"),
    };
    let (name, variable, meaning) = (text("option"), text("variable"), text("meaning"));
    format!("| `--{name}` | `{variable}` | {default} | {meaning} |")
}

#[test]
fn the_table_of_options_is_that_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFIGURATION.md");
    let document = std::fs::read_to_string(path).unwrap();
    let listed: BTreeSet<&str> = document.lines().filter(|line| line.starts_with("| `--")).collect();
    let shown = streamkit().args(["config", "show", "--json"]).output().unwrap();
    let options: BTreeSet<String> = lines(&shown.stdout).iter().map(row).collect();
    assert!(options.len() > 25);
    let missing: Vec<_> = options
        .iter()
        .filter(|row| !listed.contains(row.as_str()))
        .cloned()
        .collect();
    let wrong: Vec<_> = listed.iter().filter(|row| !options.contains(**row)).copied().collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "docs/CONFIGURATION.md: add these rows\n{}\nand remove these\n{}",
        missing.join("\n"),
        wrong.join("\n")
    );
}

#[test]
fn every_problem_of_a_file_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    let key = dir.path().join("key");
    std::fs::write(&key, "short\n").unwrap();
    let settings = format!(
        "listne = \"8080\"\nopen_stores = 0\n# a comment\ndata = {key:?}\njwt_key_file = {key:?}\nqueue_deadline = \"2h\"\n"
    );
    std::fs::write(&file, settings).unwrap();
    let (code, told, said) = config(&["check", "--json"], &file);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("5 problems"), "{said}");
    let problems = told[0]["problems"].as_array().unwrap();
    for (line, option, part) in [
        (1, "listne", "did you mean listen?"),
        (2, "open-stores", "at least 1"),
        (4, "data", "is no folder"),
        (5, "jwt-key-file", "at least 32"),
        (6, "queue-deadline", "from 1ms to 3600s"),
    ] {
        let is_it =
            |problem: &&Value| problem["line"] == line && problem["option"] == option && problem["severity"] == "error";
        let problem = problems.iter().find(is_it);
        let what = problem.unwrap_or_else(|| panic!("line {line}: {told:?}"))["what"]
            .as_str()
            .unwrap();
        assert!(what.contains(part), "{what}");
    }
}

#[test]
fn a_file_that_is_in_order_can_be_served_and_what_is_missing_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\n").unwrap();
    let (code, told, _) = config(&["check"], &file);
    assert_eq!(code, Some(2));
    let what = told[0]["problems"][0]["what"].as_str().unwrap();
    assert!(what.contains("--jwt-key-file"), "{what}");
    let key = dir.path().join("key");
    std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
    let data = dir.path().join("not yet/there");
    std::fs::write(
        &file,
        format!("listen = \"127.0.0.1:0\"\njwt-key-file = {key:?}\ndata = {data:?}\n"),
    )
    .unwrap();
    let (code, told, said) = config(&["check"], &file);
    assert_eq!(code, Some(0), "{told:?} {said}");
    assert_eq!((&told[0]["settings"], data.exists()), (&json!(3), false));
    let (_, shown, _) = config(&["show"], &file);
    let of = |name: &str| shown.iter().find(|option| option["option"] == name).unwrap();
    assert_eq!(
        (&of("listen")["source"], &of("listen")["values"]),
        (&json!("file"), &json!(["127.0.0.1:0"]))
    );
    assert_eq!(of("channels")["source"], "default");
    let over = streamkit()
        .args(["config", "check"])
        .arg(&file)
        .env("STREAMKIT_LISTEN", "8080")
        .output()
        .unwrap();
    let warned = &lines(&over.stdout)[0]["problems"];
    assert!(warned.to_string().contains("STREAMKIT_LISTEN is set here"), "{warned}");
    assert_eq!(over.status.code(), Some(0));
}

/// What is wrong with a file of these settings beside a key, where this variable is set, and whether a server would start.
fn checked(settings: &str, variable: Option<(&str, &str)>) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let [file, key, data] = ["settings.toml", "key", "data"].map(|name| dir.path().join(name));
    std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
    let all = format!("listen = \"127.0.0.1:0\"\ndata = {data:?}\njwt_key_file = {key:?}\n{settings}");
    std::fs::write(&file, all).unwrap();
    let mut check = streamkit();
    check.args(["config", "check"]).arg(&file).envs(variable);
    let done = check.output().unwrap();
    (done.status.code(), lines(&done.stdout)[0]["problems"].to_string())
}

#[test]
fn what_a_variable_has_wrong_is_told_though_the_file_says_otherwise() {
    for (variable, part) in [
        (("STREAMKIT_LISTEN", ""), "the variable STREAMKIT_LISTEN"),
        (("STREAMKIT_JWT_KEY_FILE", ""), "a value is required"),
        (
            ("STREAMKIT_OPEN_STORES", "many"),
            "the variable STREAMKIT_OPEN_STORES is",
        ),
    ] {
        let (code, told) = checked("open_stores = 5\n", Some(variable));
        assert!(code == Some(2) && told.contains(part), "{variable:?}: {told}");
        assert!(!told.contains("--help"), "{told}");
    }
    let shown = streamkit()
        .args(["config", "show"])
        .env("STREAMKIT_COOKIE", "yes")
        .output()
        .unwrap();
    let said = text(&shown.stderr);
    assert!(
        said.contains("the variable STREAMKIT_COOKIE is") && !said.contains("--help"),
        "{said}"
    );
    let (code, told) = checked("", Some(("STREAMKIT_OPNE_STORES", "5")));
    assert!(
        code == Some(0) && told.contains("did you mean STREAMKIT_OPEN_STORES?"),
        "{told}"
    );
}

#[test]
fn what_would_change_nothing_or_ask_others_too_often_is_refused() {
    for (settings, part) in [
        ("tls_client_auth = \"required\"\n", "--tls-client-ca <FILE>"),
        ("jwks_period = \"1m\"\n", "--jwks-url <URL>"),
        (
            "jwks_url = \"https://issuer.example\"\njwks_period = \"10ms\"\n",
            "at least 1s",
        ),
        ("jwt_audience = \"\"\n", "jwt-audience"),
        ("jwt_issuer = [\"\"]\n", "jwt-issuer"),
        ("origins = [\"*\"]\n", "any may connect"),
    ] {
        let (code, told) = checked(settings, None);
        assert!(code == Some(2) && told.contains(part), "{settings}: {told}");
    }
}

#[test]
fn a_value_of_a_variable_that_means_nothing_is_told_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    let key = dir.path().join("key");
    std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
    std::fs::write(&file, format!("jwt_key_file = {key:?}\n")).unwrap();
    for (variable, value, told) in [
        (
            "STREAMKIT_COOKIE",
            "1",
            "the variable STREAMKIT_COOKIE is \"1\": it must be one of true, false",
        ),
        (
            "STREAMKIT_OPEN_STORES",
            "0",
            "the variable STREAMKIT_OPEN_STORES is \"0\": it must be at least 1",
        ),
    ] {
        let run = |what: &str| {
            let mut config = streamkit();
            config.args(["config", what]).arg(&file).env(variable, value);
            config.output().unwrap()
        };
        let shown = run("show");
        assert_eq!(text(&shown.stderr), format!("streamkit: {told}\n"));
        assert_eq!(shown.status.code(), Some(2));
        let checked = run("check");
        assert_eq!(lines(&checked.stdout)[0]["problems"][0]["what"], told);
        assert_eq!(checked.status.code(), Some(2));
    }
}

#[test]
fn a_file_that_cannot_be_read_or_is_no_toml_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    let (code, _, said) = config(&["check"], &file);
    assert!(code == Some(2) && said.contains("settings.toml"), "{said}");
    std::fs::write(&file, "listen = \"8080\nchannels =\n").unwrap();
    let (code, told, _) = config(&["check"], &file);
    assert_eq!(code, Some(2));
    let lines: BTreeSet<u64> = told[0]["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, BTreeSet::from([1, 2]), "{told:?}");
}
