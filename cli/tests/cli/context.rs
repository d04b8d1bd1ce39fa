//! Contexts: servers and stores under names, in a file that is its owner's alone.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::program::*;

const OTHER_STORE: &str = "00000000-0000-4000-8000-000000000001";

/// A user with a configuration folder and nothing in the environment.
struct User {
    dir: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("streamkit/contexts.json")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = streamkit();
        command.args(arguments).env("XDG_CONFIG_HOME", self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        let done = self.run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        lines(&done.stdout)
    }

    /// Keeps a server with its token.
    fn add(&self, name: &str, served: &Served) {
        self.done(&[
            "context",
            "add",
            name,
            "--url",
            &served.url,
            "--store",
            STORE,
            "--token",
            &served.token,
        ]);
    }

    /// Keeps a server with a script that prints its token.
    fn add_script(&self, name: &str, served: &Served, script: &Path) {
        let command = ["--", "sh", script.to_str().unwrap()];
        self.done(
            &[
                &[
                    "context",
                    "add",
                    name,
                    "--replace",
                    "--url",
                    &served.url,
                    "--store",
                    STORE,
                ],
                &command[..],
            ]
            .concat(),
        );
    }
}

fn refused(done: &Output, code: i32, parts: &[&str]) {
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{said}");
    assert!(done.stdout.is_empty(), "{}", text(&done.stdout));
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn commands_go_where_the_context_says_that_is_named_or_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "1\n").status.success());
    let user = User::new();
    assert!(user.done(&["context", "list"]).is_empty());
    refused(
        &user.run(&["spaces", "--context", "prod"]),
        2,
        &["no context prod", "context add prod"],
    );
    user.add("prod", &served);
    assert_eq!(user.file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(user.done(&["spaces", "--context", "prod"])[0]["space"], "s");
    // It is not in use by being the only one.
    refused(&user.run(&["spaces"]), 2, &["no server is given"]);
    let by_variable = user
        .command(&["spaces"])
        .env("STREAMKIT_CONTEXT", "prod")
        .output()
        .unwrap();
    assert_eq!(lines(&by_variable.stdout)[0]["space"], "s");
    user.done(&["context", "use", "prod"]);
    assert_eq!(user.done(&["spaces"])[0]["space"], "s");
    let shown = user.run(&["context", "show"]);
    let line = &lines(&shown.stdout)[0];
    assert_eq!((&line["name"], &line["in_use"]), (&"prod".into(), &true.into()));
    assert!(!text(&shown.stdout).contains(&served.token), "a token is shown");
    let listed = user.run(&["context", "list"]);
    assert!(!text(&listed.stdout).contains(&served.token), "a token is listed");
    refused(
        &user.run(&[
            "context", "add", "prod", "--url", "8080", "--store", STORE, "--token", "x",
        ]),
        2,
        &["--replace"],
    );
    user.done(&["context", "use", "dev"]);
    refused(&user.run(&["spaces"]), 2, &["no server is given"]);
    user.done(&["context", "use", "prod"]);
    user.done(&["context", "remove", "prod"]);
    refused(&user.run(&["spaces"]), 2, &["no server is given"]);
    refused(&user.run(&["context", "remove", "prod"]), 2, &["no context prod"]);
}

#[test]
fn what_is_on_the_command_line_counts_before_variables_and_these_before_the_context() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "here/a"], "1\n").status.success());
    let user = User::new();
    user.add("here", &served);
    user.done(&["context", "use", "here"]);
    let count = |arguments: &[&str], variables: &[(&str, &str)]| {
        let done = user
            .command(arguments)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        lines(&done.stdout).len()
    };
    assert_eq!(count(&["spaces"], &[]), 1);
    assert_eq!(count(&["spaces", "--store", OTHER_STORE], &[]), 0);
    assert_eq!(count(&["spaces"], &[("STREAMKIT_STORE", OTHER_STORE)]), 0);
    assert_eq!(
        count(&["spaces", "--store", STORE], &[("STREAMKIT_STORE", OTHER_STORE)]),
        1
    );
    // One that is named on the command line is all that counts, but for what is named there too.
    let variables = [
        ("STREAMKIT_STORE", OTHER_STORE),
        ("STREAMKIT_URL", "ws://127.0.0.1:1"),
        ("STREAMKIT_TOKEN", "x"),
    ];
    assert_eq!(count(&["spaces", "--context", "here"], &variables), 1);
    assert_eq!(
        count(&["spaces", "--context", "here", "--store", OTHER_STORE], &variables),
        0
    );
    // Its token goes nowhere else.
    let elsewhere = ["spaces", "--url", "ws://127.0.0.1:1"];
    refused(&user.run(&elsewhere), 2, &["token of context here", "no other server"]);
    let variable = user
        .command(&["spaces"])
        .env("STREAMKIT_URL", "ws://127.0.0.1:1")
        .output()
        .unwrap();
    refused(&variable, 2, &["token of context here"]);
    // What names token and store has nothing to do with it.
    let variables = [
        ("STREAMKIT_TOKEN", served.token.as_str()),
        ("STREAMKIT_STORE", STORE),
        ("STREAMKIT_URL", &served.url),
    ];
    assert_eq!(count(&["spaces"], &variables), 1);
}

#[test]
fn a_file_that_others_may_read_or_that_is_not_whole_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let user = User::new();
    user.add("prod", &served);
    let mode = |mode: u32| std::fs::set_permissions(user.file(), std::fs::Permissions::from_mode(mode)).unwrap();
    for open in [0o644, 0o640, 0o602] {
        mode(open);
        for arguments in [
            &["spaces", "--context", "prod"][..],
            &["context", "list"],
            &["context", "use", "prod"],
        ] {
            refused(&user.run(arguments), 1, &["chmod 600", "contexts.json"]);
        }
    }
    mode(0o600);
    user.done(&["spaces", "--context", "prod"]);
    let whole = std::fs::read(user.file()).unwrap();
    for broken in [
        &whole[..whole.len() / 2],
        b"",
        b"[]",
        b"{\"contexts\":{\"a b\":1}}",
        b"{\"others\":1}",
    ] {
        std::fs::write(user.file(), broken).unwrap();
        refused(&user.run(&["context", "use", "prod"]), 1, &["contexts.json", "mend it"]);
        assert_eq!(
            std::fs::read(user.file()).unwrap(),
            broken,
            "what is broken is left as it is"
        );
    }
}

#[test]
fn a_context_that_leads_nowhere_is_told_without_its_password_and_leaves_the_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let user = User::new();
    user.add("prod", &served);
    user.add("bad", &served);
    let kept = std::fs::read_to_string(user.file()).unwrap();
    let (before, behind) = kept.split_once(&served.url).unwrap();
    std::fs::write(user.file(), format!("{before}ws://me:hidden@host{behind}")).unwrap();
    user.done(&["spaces", "--context", "prod"]);
    user.done(&["context", "use", "prod"]);
    for arguments in [&["spaces", "--context", "bad"][..], &["context", "use", "bad"]] {
        refused(&user.run(arguments), 1, &["context bad", "--replace"]);
    }
    let listed = user.done(&["context", "list"]);
    assert_eq!(listed[0]["url"], "ws://…@host");
    assert_eq!(user.done(&["context", "show", "bad"])[0]["url"], "ws://…@host");
    user.done(&["context", "remove", "bad"]);
    for (arguments, code) in [
        (&["spaces", "--url", "ws://me:hidden@host"][..], 2),
        (&["spaces", "--url", "me:hidden@host"], 2),
        (&["spaces", "ws://me:hidden@host"], 2),
        (
            &[
                "context",
                "add",
                "c",
                "--url",
                "wss://me:hidden@host",
                "--store",
                STORE,
                "--token",
                "t",
            ],
            2,
        ),
        (&["copy", "--from", "ws://me:hidden@host", "--to-context", "prod"], 2),
        (&["health", "--url", "http://me:hidden@host"], 2),
        (&["backup", "ws://me:hidden@host", "b", "--token", "t"], 2),
    ] {
        let done = user.run(arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(
            said.contains("host") && !said.contains("hidden"),
            "{arguments:?}: {said}"
        );
    }
    let mut by_variable = user.command(&["spaces"]);
    let said = by_variable
        .env("STREAMKIT_URL", "ws://me:hidden@host")
        .output()
        .unwrap();
    assert!(!text(&said.stderr).contains("hidden"), "{}", text(&said.stderr));
}

#[test]
fn a_token_may_come_from_standard_input_or_from_a_program_that_no_shell_reads() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "1\n").status.success());
    let user = User::new();
    let mut add = user.command(&[
        "context",
        "add",
        "typed",
        "--url",
        &served.url,
        "--store",
        STORE,
        "--token",
        "-",
    ]);
    let mut child = add.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(
        &mut child.stdin.take().unwrap(),
        format!("{}\n", served.token).as_bytes(),
    )
    .unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(user.done(&["spaces", "--context", "typed"]).len(), 1);
    let token = user.dir.path().join("a token; $HOME");
    std::fs::write(&token, &served.token).unwrap();
    let words = ["--", "cat", token.to_str().unwrap()];
    user.done(
        &[
            &["context", "add", "run", "--url", &served.url, "--store", STORE],
            &words[..],
        ]
        .concat(),
    );
    assert_eq!(user.done(&["spaces", "--context", "run"]).len(), 1);
    let none = user.run(&["context", "add", "none", "--url", &served.url, "--store", STORE]);
    refused(&none, 2, &["TOKEN_COMMAND"]);
}

#[test]
fn a_token_in_the_wrong_place_of_the_file_is_not_shown() {
    let user = User::new();
    let file = user.file();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    for secret in [r#""hidden""#, r#"{"hidden":1}"#, r#"{"token_command":"hidden"}"#] {
        let context = format!(r#"{{"url":"ws://h","store":"{STORE}","secret":{secret}}}"#);
        std::fs::write(&file, format!(r#"{{"contexts":{{"a":{context}}}}}"#)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let done = user.run(&["context", "list"]);
        refused(&done, 1, &["contexts.json: ", "line 1 column ", "mend it"]);
        assert!(!text(&done.stderr).contains("hidden"), "{}", text(&done.stderr));
    }
}

#[test]
fn what_is_no_token_is_not_kept_and_not_shown() {
    let user = User::new();
    let add = ["context", "add", "one", "--url", "8080", "--store", STORE, "--token"];
    for token in ["", " ", "secret words", "secret\u{7}"] {
        let done = user.run(&[&add[..], &[token]].concat());
        refused(&done, 2, &["--token has no token, which is one word"]);
        assert!(!text(&done.stderr).contains("secret"), "{}", text(&done.stderr));
    }
    for token in [String::new(), "secret\u{7}".to_owned(), "x".repeat((64 << 10) + 1)] {
        let given = user.dir.path().join("token");
        std::fs::write(&given, token).unwrap();
        let mut command = user.command(&[&add[..], &["-"]].concat());
        let done = command.stdin(std::fs::File::open(given).unwrap()).output().unwrap();
        refused(&done, 2, &["standard input has no token, which is one word"]);
    }
    assert!(user.done(&["context", "list"]).is_empty());
}

#[test]
fn a_program_without_a_token_is_told_with_what_it_said() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let user = User::new();
    let script = user.dir.path().join("script");
    std::fs::write(&script, "echo the vault is sealed >&2\nexit 3\n").unwrap();
    user.add_script("vault", &served, &script);
    let failed = user.run(&["spaces", "--context", "vault"]);
    refused(&failed, 4, &["the vault is sealed", "exit status: 3", "context show"]);
    std::fs::write(&script, "exec yes and yes >&2 & sleep 0.1; kill $!; exit 1\n").unwrap();
    let failed = user.run(&["spaces", "--context", "vault"]);
    refused(&failed, 4, &["exit status: 1"]);
    assert!(failed.stderr.len() < 4096, "{} bytes", failed.stderr.len());
}

#[test]
fn a_program_is_run_for_each_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let user = User::new();
    let (script, runs) = (user.dir.path().join("script"), user.dir.path().join("runs"));
    let text_of_script = format!("echo run >>{}\necho {}\n", runs.display(), served.token);
    std::fs::write(&script, text_of_script).unwrap();
    user.add_script("vault", &served, &script);
    let count = || std::fs::read_to_string(&runs).unwrap_or_default().lines().count();
    let mut produce = user.command(&["produce", "s/a", "--context", "vault"]);
    let mut child = produce.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"1\n").unwrap();
    wait_for_head(&served, "s/a", 1);
    assert_eq!(count(), 1);
    served.kill();
    served.restart();
    std::io::Write::write_all(&mut input, b"2\n").unwrap();
    drop(input);
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success());
    assert_eq!(lines(&done.stdout)[0]["head"], 2);
    assert_eq!(count(), 2, "a second connection, a second token");
}

#[test]
fn contexts_that_are_added_at_the_same_time_are_all_kept() {
    let user = User::new();
    let names: Vec<String> = (0..8).map(|n| format!("c{n}")).collect();
    let children = names.iter().map(|name| {
        let mut add = user.command(&[
            "context", "add", name, "--url", "8080", "--store", STORE, "--token", "x",
        ]);
        add.stdout(Stdio::null()).spawn().unwrap()
    });
    for mut child in children.collect::<Vec<_>>() {
        assert!(child.wait().unwrap().success());
    }
    let kept = user.done(&["context", "list"]);
    assert_eq!(
        kept.iter()
            .map(|line| line["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>(),
        names
    );
}
