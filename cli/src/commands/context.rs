//! `context`: servers and stores under names, so that commands need not be told each time.

use std::io::Read as _;

use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::arguments::{address, store};
use crate::called::called;
use crate::connect::contexts::{self, Context, Contexts, Secret};
use crate::failure::Failure;
use crate::output::{Out, json_lines};

#[derive(clap::Args)]
pub(crate) struct Contextual {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Keep a server, a store and a token, or the command that prints one
    Add(Add),
    /// Let commands that name no server go there; dev for that of dev
    Use(Named),
    /// List the contexts
    List(List),
    /// Show one, without its token; without a name the one in use
    Show(Show),
    /// Forget one
    Remove(Named),
}

#[derive(clap::Args)]
struct Add {
    /// Its name
    #[arg(value_parser = contexts::name)]
    name: String,
    /// Server
    #[arg(long, value_parser = address::url)]
    url: String,
    /// The store
    #[arg(long, value_name = "UUID", value_parser = store)]
    store: Uuid,
    /// Token that opens it; - reads it from standard input
    #[arg(long, conflicts_with = "token_command", required_unless_present = "token_command")]
    token: Option<String>,
    /// Replace one of this name
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Program that prints a token, and its arguments
    #[arg(last = true, value_name = "TOKEN_COMMAND")]
    token_command: Vec<String>,
}

#[derive(clap::Args)]
struct Named {
    /// Its name
    #[arg(value_parser = contexts::name)]
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct List {
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Show {
    /// Its name
    #[arg(value_parser = contexts::name)]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Contextual {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Add(add) => add.run(),
            What::Use(named) => used(&named.name, named.json),
            What::List(list) => listed(list.json),
            What::Show(show) => shown(show),
            What::Remove(named) => removed(&named.name, named.json),
        }
    }
}

impl Add {
    fn run(self) -> Result<(), Failure> {
        let name = self.name;
        if name == contexts::OF_DEV {
            return Err(Failure::arguments(format!(
                "{name} stands for the server of `{} dev`, which is found and not kept",
                called()
            ))
            .hint("take another name"));
        }
        let secret = match self.token {
            Some(token) if token == "-" => Secret::Token(token_of_input()?),
            Some(token) => Secret::Token(one_word(&token, "--token")?),
            None => Secret::TokenCommand(self.token_command),
        };
        let context = Context {
            url: self.url,
            store: self.store,
            secret,
        };
        let added = contexts::change(|contexts| {
            if contexts.contexts.contains_key(&name) && !self.replace {
                return Err(Failure::arguments(format!("there is a context {name}"))
                    .hint("take another name, or add --replace to replace it"));
            }
            let line = line(&name, &context, contexts);
            contexts.contexts.insert(name.clone(), context);
            Ok(line)
        })?;
        Out::new().result("it is kept", |out| match json_lines(self.json) {
            true => out.json(&added),
            false => out.text(format_args!(
                "kept {name}; `{} context use {name}` makes it the one in use",
                called()
            )),
        })
    }
}

/// A token on standard input, which no list of processes shows.
fn token_of_input() -> Result<String, Failure> {
    let mut text = String::new();
    // One byte more than a token has: what is cut off is none.
    let read = std::io::stdin()
        .take(contexts::TOKEN_BYTES_MAX + 1)
        .read_to_string(&mut text);
    read.map_err(|error| Failure::from(error).during("standard input"))?;
    one_word(&text, "standard input")
}

/// The token in what was given. What is wrong with it is told without it: clap would show it.
fn one_word(text: &str, from: &str) -> Result<String, Failure> {
    let token = contexts::token(text);
    let token = token.ok_or_else(|| Failure::arguments(format!("{from} has no token, which is one word")));
    token.map(str::to_owned)
}

fn used(name: &str, json: bool) -> Result<(), Failure> {
    contexts::change(|contexts| {
        contexts.in_use = match name {
            contexts::OF_DEV => None,
            name => contexts.usable(name).map(|_| Some(name.to_owned()))?,
        };
        Ok(())
    })?;
    Out::new().result("it is in use", |out| match json_lines(json) {
        true => out.json(&json!({ "name": name, "in_use": true })),
        false if name == contexts::OF_DEV => out.text(format_args!(
            "commands that name no server go to that of `{} dev`",
            called()
        )),
        false => out.text(format_args!("commands that name no server go to {name}")),
    })
}

fn removed(name: &str, json: bool) -> Result<(), Failure> {
    contexts::change(|contexts| {
        contexts.named(name)?;
        contexts.contexts.remove(name);
        if contexts.in_use.as_deref() == Some(name) {
            contexts.in_use = None;
        }
        Ok(())
    })?;
    Out::new().result("it is removed", |out| match json_lines(json) {
        true => out.json(&json!({ "name": name, "removed": true })),
        false => out.text(format_args!("removed {name}")),
    })
}

fn listed(json: bool) -> Result<(), Failure> {
    let contexts = Contexts::find()?;
    let mut out = Out::new();
    if json_lines(json) {
        for (name, context) in &contexts.contexts {
            out.json(&line(name, context, &contexts))?;
        }
        return out.flush();
    }
    let rows = contexts.contexts.iter().map(|(name, context)| {
        let is_in_use = contexts.in_use.as_ref() == Some(name);
        let used = if is_in_use { "in use" } else { "" };
        vec![
            name.clone(),
            context.shown_url(),
            context.store.to_string(),
            used.to_owned(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    match rows.is_empty() {
        true => out.text(format_args!("none yet; `{} context add` keeps one", called()))?,
        false => out.table(&["context", "url", "store", ""], &rows)?,
    }
    out.flush()
}

fn shown(show: Show) -> Result<(), Failure> {
    let contexts = Contexts::find()?;
    let Some(name) = show.name.or_else(|| contexts.in_use.clone()) else {
        return Err(Failure::new("no context is in use").hint(format_args!("`{} context list` lists them", called())));
    };
    let context = contexts.named(&name)?;
    let mut out = Out::new();
    if json_lines(show.json) {
        out.json(&line(&name, context, &contexts))?;
        return out.flush();
    }
    let token = match &context.secret {
        Secret::Token(_) => "kept".to_owned(),
        Secret::TokenCommand(words) => format!("printed by: {}", words.join(" ")),
    };
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    let mut rows = vec![
        row("url", context.shown_url()),
        row("store", context.store.to_string()),
        row("token", token),
    ];
    if contexts.in_use.as_ref() == Some(&name) {
        rows.push(row("in use", "yes".to_owned()));
    }
    out.table(&[&name, ""], &rows)?;
    out.flush()
}

/// A context without its token.
fn line(name: &str, context: &Context, contexts: &Contexts) -> Value {
    let token_command = match &context.secret {
        Secret::Token(_) => None,
        Secret::TokenCommand(words) => Some(words),
    };
    json!({
        "name": name,
        "url": context.shown_url(),
        "store": context.store,
        "token_command": token_command,
        "in_use": contexts.in_use.as_deref() == Some(name),
    })
}
