//! A program that prints a token: run before each dial, so that a token that expires is replaced. It is bounded in time and in what is read
//! of it, and no shell stands between unless it is the program.

use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::contexts::{TOKEN_BYTES_MAX, token};

/// How long it may take.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Bytes of standard error that are told.
const SAID_BYTES_MAX: u64 = 2 << 10;

/// How long the end of its output is waited for once it has ended: a program that it left behind may hold it open.
const SAID_WAIT: Duration = Duration::from_millis(200);

/// Runs it, and returns what it prints without white space around it. Dropped before its end, the program is killed.
///
/// # Errors
/// It does not start, fails, takes too long, or prints what is no token; with what it said.
pub(crate) async fn token_of(words: &[String]) -> Result<String, String> {
    within(TIME_MAX, words).await
}

async fn within(time: Duration, words: &[String]) -> Result<String, String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("the token command is empty".to_owned());
    };
    let told = |why: String| format!("the token command `{}` {why}", words.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let mut child = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return Err(told(format!("does not start: {error}"))),
    };
    let (printing, saying) = (child.stdout.take(), child.stderr.take());
    let (mut printed, mut said) = (Vec::new(), Vec::new());
    let work = async {
        // Both are read while it runs: a full pipe would hold the program up.
        let mut reading = pin!(async {
            let printed = first_bytes(printing, TOKEN_BYTES_MAX + 1, &mut printed);
            tokio::join!(printed, first_bytes(saying, SAID_BYTES_MAX, &mut said));
        });
        tokio::select! {
            ended = child.wait() => {
                let _ = tokio::time::timeout(SAID_WAIT, reading).await;
                ended
            }
            () = &mut reading => child.wait().await,
        }
    };
    let Ok(ended) = tokio::time::timeout(time, work).await else {
        return Err(told(format!("took longer than {time:?}, and was ended")));
    };
    let said = String::from_utf8_lossy(&said);
    let said = match said.trim() {
        "" => String::new(),
        said => format!(": {}", said.replace('\n', " / ")),
    };
    match ended {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(told(format!("failed with {status}{said}"))),
        Err(error) => return Err(told(format!("cannot be waited for: {error}"))),
    }
    if printed.len() as u64 > TOKEN_BYTES_MAX {
        return Err(told(format!(
            "printed more than {TOKEN_BYTES_MAX} bytes, which is no token"
        )));
    }
    let printed = String::from_utf8(printed).unwrap_or_default();
    match token(&printed) {
        None => Err(told(format!("printed no token, which is one word{said}"))),
        Some(token) => Ok(token.to_owned()),
    }
}

/// Takes the first bytes, while all others are read too, and forgotten. What has come counts though it does not end.
async fn first_bytes(from: Option<impl AsyncRead + Unpin>, most: u64, bytes: &mut Vec<u8>) {
    if let Some(mut from) = from {
        let mut first = (&mut from).take(most);
        // What cannot be read is not there; that the program failed says its exit code.
        while first.read_buf(bytes).await.is_ok_and(|count| count > 0) {}
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn what_it_prints_is_the_token_and_what_goes_wrong_is_told_with_what_it_said() {
        assert_eq!(token_of(&shell("echo; echo ' a.b.c '")).await.as_deref(), Ok("a.b.c"));
        for (script, said) in [
            (
                "echo no such secret >&2; echo second >&2; exit 3",
                "exit status: 3: no such secret / second",
            ),
            ("exit 1", "failed with exit status: 1"),
            ("kill -9 $$", "signal: 9"),
            (":", "printed no token"),
            ("echo two words", "printed no token"),
            ("echo token; echo why >&2; echo more", "one word: why"),
            ("head -c 70000 /dev/zero", "more than 65536 bytes"),
            ("yes error | head -c 9000000 >&2; exit 2", "exit status: 2"),
        ] {
            let why = token_of(&shell(script)).await.unwrap_err();
            assert!(why.contains(said) && why.len() < 4096, "{script}: {why}");
        }
        let left = within(Duration::from_secs(600), &shell("sleep 3600 & echo $!; exit 0")).await;
        let left = left.expect("one that leaves a program behind has printed its token all the same");
        assert!(Command::new("kill").arg(left).status().await.unwrap().success());
        let missing = token_of(&["/there/is/none".to_owned()]).await.unwrap_err();
        assert!(missing.contains("does not start"), "{missing}");
    }

    #[tokio::test]
    async fn no_shell_reads_its_words() {
        let words = ["printf", "%s", "$HOME;`x`"].map(str::to_owned);
        assert_eq!(token_of(&words).await.as_deref(), Ok("$HOME;`x`"));
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended() {
        let why = within(Duration::from_millis(50), &shell("sleep 600"))
            .await
            .unwrap_err();
        assert!(why.contains("took longer than 50ms"), "{why}");
    }
}
