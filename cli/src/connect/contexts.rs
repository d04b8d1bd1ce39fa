//! Contexts: under a name, the address of a server, a store, and a token or the command that prints one. They stand in one file of the
//! user's configuration folder, which nobody else may read or change: it holds secrets, and names programs that are run.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::folders;
use crate::arguments::address;
use crate::called::called;
use crate::failure::Failure;
use crate::files;

/// Most bytes of the file that is read.
const BYTES_MAX: u64 = 4 << 20;

/// Most bytes of a name.
const NAME_BYTES_MAX: usize = 64;

/// Most bytes of a token.
pub(crate) const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// The name that stands for the server of `dev`, which is found and not kept.
pub(crate) const OF_DEV: &str = "dev";

/// Where a token comes from.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Secret {
    Token(String),
    /// A program and its arguments: no shell reads them.
    TokenCommand(Vec<String>),
}

/// A server, one of its stores, and what opens that.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) url: String,
    pub(crate) store: Uuid,
    pub(crate) secret: Secret,
}

/// The contexts of a user.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one that counts where none is named.
    #[serde(default)]
    pub(crate) in_use: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// The name of a context: letters, digits, `.`, `_` and `-`.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(may_stand) && !text.starts_with('-') {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a context's name has 1 to {NAME_BYTES_MAX} letters, digits, '.', '_' and '-', and does not begin with '-'"
        )),
    }
}

/// The token in a text, without white space around it; none if that is not one word, or longer than a token.
pub(crate) fn token(text: &str) -> Option<&str> {
    let token = text.trim();
    let is_one_word = !token.is_empty() && !token.contains(|c: char| c.is_whitespace() || c.is_control());
    (is_one_word && token.len() as u64 <= TOKEN_BYTES_MAX).then_some(token)
}

impl Contexts {
    /// Those that are kept. Where there is no file, there are none.
    ///
    /// # Errors
    /// The file cannot be read, is not whole, or others than its owner may read or change it.
    pub(crate) fn find() -> Result<Self, Failure> {
        match file() {
            Ok(file) => read(&file),
            // Nowhere to keep any.
            Err(_) => Ok(Self::default()),
        }
    }

    /// The one with a name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn named(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let next = match known.is_empty() {
                true => format!("there is none yet: add it with `{} context add {name}`", called()),
                false => format!("there are: {}", known.join(", ")),
            };
            Failure::arguments(format!("there is no context {name}")).hint(next)
        })
    }

    /// The one with a name, to be used.
    ///
    /// # Errors
    /// There is none, or what is kept of it leads nowhere.
    pub(crate) fn usable(&self, name: &str) -> Result<&Context, Failure> {
        let context = self.named(name)?;
        match context.fault() {
            None => Ok(context),
            Some(why) => Err(Failure::new(format!("context {name}: {why}")).hint(format_args!(
                "`{} context add {name} --replace` keeps it anew",
                called()
            ))),
        }
    }
}

impl Context {
    /// Its address, without what nobody may see of one that cannot be used.
    pub(crate) fn shown_url(&self) -> String {
        address::without_user(&self.url)
    }

    /// Why it cannot be used.
    fn fault(&self) -> Option<String> {
        match &self.secret {
            Secret::TokenCommand(words) if words.is_empty() => Some("a token command without a program".to_owned()),
            _ => address::url(&self.url).err(),
        }
    }
}

/// Changes what is kept, as one: whoever does so at the same time waits.
///
/// # Errors
/// As [`Contexts::find`], the file cannot be written, or what `change` fails with; then nothing is changed.
pub(crate) fn change<T>(change: impl FnOnce(&mut Contexts) -> Result<T, Failure>) -> Result<T, Failure> {
    let file = file()?;
    let during = |path: &Path, error: std::io::Error| Failure::from(error).during(path.display());
    if let Some(dir) = file.parent() {
        folders::make(dir).map_err(|error| during(dir, error))?;
    }
    let lock = file.with_extension("lock");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let locked = options.open(&lock).and_then(|opened| opened.lock().map(|()| opened));
    let _locked = locked.map_err(|error| during(&lock, error))?;
    let mut contexts = read(&file)?;
    let done = change(&mut contexts)?;
    let mut text = serde_json::to_vec_pretty(&contexts).map_err(|error| during(&file, error.into()))?;
    text.push(b'\n');
    files::replace(&file, &text).map_err(|error| during(&file, error))?;
    Ok(done)
}

/// The file.
///
/// # Errors
/// No variable says where it is.
pub(crate) fn file() -> std::io::Result<PathBuf> {
    Ok(folders::configuration()?.join("contexts.json"))
}

fn read(file: &Path) -> Result<Contexts, Failure> {
    let told = |error: std::io::Error| Failure::from(error).during(file.display());
    let about = match std::fs::metadata(file) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Contexts::default());
        }
        about => about.map_err(told)?,
    };
    if !about.is_file() {
        return Err(Failure::new(format!("{} is no file", file.display())).hint("remove it"));
    }
    if let Some(mode) = files::mode_for_others(&about) {
        let file = file.display();
        return Err(Failure::new(format!(
            "others than its owner may read or change {file} (its mode is {mode:03o}), which has tokens: nothing of it was used"
        ))
        .hint(format_args!(
            "`chmod 600 '{file}'`, and replace the tokens that anybody may have read"
        )));
    }
    let wrong = |why: String| {
        Failure::new(format!("{}: {why}", file.display())).hint("mend it, or remove it and add contexts again")
    };
    let text = files::read_small(file, BYTES_MAX).map_err(told)?;
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("it is no JSON object".to_owned()));
    }
    let mut contexts: Contexts = serde_json::from_slice(&text).map_err(|error| wrong(place(&error)))?;
    for (kept, context) in &mut contexts.contexts {
        name(kept).map_err(&wrong)?;
        // One that cannot be used says so when it is to be, and leaves the others alone.
        if let Ok(url) = address::url(&context.url) {
            context.url = url;
        }
    }
    Ok(contexts)
}

/// Where the file is wrong. What stands there instead may be a token, which only JSON that is not whole does not repeat.
fn place(error: &serde_json::Error) -> String {
    match error.is_data() {
        true => format!(
            "this is not what a context has, at line {} column {}",
            error.line(),
            error.column()
        ),
        false => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_that_no_shell_reads() {
        for text in ["prod", "eu-1.prod_2", "0"] {
            assert_eq!(name(text).as_deref(), Ok(text));
        }
        for text in ["", "-x", "a b", "a/b", "ä", "a;b", &"x".repeat(65)] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
