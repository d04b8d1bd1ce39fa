//! A real terminal, and what a person sees in it.

use std::process::{Command, Output};

use crate::program::*;

/// A terminal in which a shell runs a command, says its exit code, and stays.
pub struct Terminal {
    dir: tempfile::TempDir,
}

impl Terminal {
    /// `None` where there is no program that makes one, which is told.
    pub fn run(command: &Command, columns: u16, lines: u16) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("skipped: no tmux here");
            return None;
        }
        let terminal = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words
            .map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")))
            .collect();
        // Raw modes that are left are counted.
        let raw = "stty -a | tr -s ' ;' '\\n' | grep -cxe -icanon -e -echo -e -isig";
        let shell = format!("{}; echo exit=$? raw=$({raw}); exec cat", words.join(" "));
        let mut tmux = terminal.tmux();
        tmux.args(["-f", "/dev/null", "-u", "new-session", "-d"]);
        tmux.args(["-x", &columns.to_string(), "-y", &lines.to_string(), &shell]);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => tmux.env(key, value),
                None => tmux.env_remove(key),
            };
        }
        let started = tmux.output().unwrap();
        assert!(started.status.success(), "{}", text(&started.stderr));
        Some(terminal)
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.env_remove("TMUX").arg("-S").arg(self.dir.path().join("socket"));
        tmux
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let asked: Output = self.tmux().args(arguments).output().unwrap();
        assert!(asked.status.success(), "{arguments:?}: {}", text(&asked.stderr));
        text(&asked.stdout)
    }

    /// What stands in it now.
    pub fn shown(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// Once this stands in it, all that does.
    pub fn until_shows(&self, what: &str) -> String {
        self.until(&format!("{what:?} is shown"), |shown| shown.contains(what))
    }

    /// Once what stands in it is as it must be, all that does.
    pub fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begun = std::time::Instant::now();
        loop {
            let shown = self.shown();
            if is_so(&shown) {
                return shown;
            }
            assert!(begun.elapsed() < PATIENCE, "it never came that {what}: {shown}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Once the command has ended with this exit code: the terminal is as it was before.
    pub fn until_left_with(&self, code: i32) {
        self.until_shows(&format!("exit={code} raw=0"));
        let modes = self.ask(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(modes.trim(), "0 1", "alternate screen, cursor");
    }

    /// The number of the command's process.
    pub fn command(&self) -> u32 {
        let shell = self.ask(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.trim().parse().unwrap()
    }

    /// Presses keys, by tmux's names.
    pub fn press(&self, keys: &str) {
        self.ask(&["send-keys", keys]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}
