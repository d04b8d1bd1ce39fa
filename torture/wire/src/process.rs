//! A server as users have it: the program itself, on a folder and a port, which is killed and started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::host::{SECRET, Trouble};

/// How often it is started until it has its port: while nobody listens there, a client that calls may be given it as its own.
const STARTS_MAX: u32 = 20;

/// A server.
pub struct Process {
    program: PathBuf,
    folder: PathBuf,
    options: Vec<String>,
    variables: Vec<(String, String)>,
    /// Where it listens, also after it was started again.
    pub address: SocketAddr,
    child: Child,
}

impl Process {
    /// Starts the program on a folder, on a free port.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(program: &Path, folder: &Path, options: &[&str]) -> Result<Self, Trouble> {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self::with(program, folder, options, Vec::new()).await
    }

    /// The same, with variables of the environment.
    ///
    /// # Errors
    /// It does not start.
    pub async fn with(
        program: &Path,
        folder: &Path,
        options: Vec<String>,
        variables: Vec<(String, String)>,
    ) -> Result<Self, Trouble> {
        std::fs::write(key(folder), SECRET)?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (child, address) = launch(program, folder, &options, &variables, any).await?;
        Ok(Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            options,
            variables,
            address,
            child,
        })
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// It has ended.
    pub fn stop(&self) -> Result<(), Trouble> {
        self.signal(rustix::process::Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// It has ended.
    pub fn go_on(&self) -> Result<(), Trouble> {
        self.signal(rustix::process::Signal::CONT)
    }

    /// SIGTERM; waits until it has left.
    ///
    /// # Errors
    /// It has ended before, or with an error.
    pub async fn leave(&mut self) -> Result<(), Trouble> {
        self.signal(rustix::process::Signal::TERM)?;
        match self.child.wait().await? {
            status if status.success() => Ok(()),
            status => Err(format!("the server left with {status}").into()),
        }
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<(), Trouble> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid
            .and_then(rustix::process::Pid::from_raw)
            .ok_or("the server has ended")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// It has ended before.
    pub async fn kill(&mut self) -> Result<(), Trouble> {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("the server has ended by itself: {status}").into());
        }
        Ok(self.child.kill().await?)
    }

    /// Starts it again, on the same folder and port.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(&mut self) -> Result<(), Trouble> {
        let mut starts = 1;
        loop {
            match launch(
                &self.program,
                &self.folder,
                &self.options,
                &self.variables,
                self.address,
            )
            .await
            {
                Ok((child, _)) => self.child = child,
                Err(why) if starts < STARTS_MAX && why.to_string().contains("in use") => {
                    starts += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Err(why) => return Err(why),
            }
            return Ok(());
        }
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        data(&self.folder)
    }
}

fn key(folder: &Path) -> PathBuf {
    folder.join("key")
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Starts it, and returns once it says where it listens.
async fn launch(
    program: &Path,
    folder: &Path,
    options: &[String],
    variables: &[(String, String)],
    address: SocketAddr,
) -> Result<(Child, SocketAddr), Trouble> {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STREAMKIT_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.args(["serve", "--listen", &address.to_string()]);
    command.arg("--data").arg(data(folder));
    command.arg("--jwt-key-file").arg(key(folder)).args(options);
    let spawned = command.stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let mut child = spawned.map_err(|error| format!("{}: {error}", program.display()))?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("a pipe was asked for")?).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = address_in(&line) {
            // Whatever it says later, it must not wait for a reader.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((child, address));
        }
        said += &line;
        said += "\n";
    }
    let status = child.wait().await?;
    Err(format!("the server does not start, {status}: {said}").into())
}

/// Where it says that it listens.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once("ws://")?;
    let end = address.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
    address[..end.unwrap_or(address.len())].parse().ok()
}
