//! A balancer of TCP connections that asks no host how he is: each connection goes to the next host in turn, and if nobody listens there, to
//! the one behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// One address for all hosts. Once it is dropped, nobody listens there, and its connections end.
pub struct Balancer {
    /// Where it listens.
    pub address: SocketAddr,
    cuts: watch::Sender<()>,
    accepting: AbortHandle,
}

impl Balancer {
    /// In front of these, of which the first is the next.
    ///
    /// # Errors
    /// No port is free.
    pub async fn before(hosts: Vec<SocketAddr>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (cuts, cut) = watch::channel(());
        let hosts = Arc::new(hosts);
        let accepting = tokio::spawn(async move {
            let turns = Arc::new(AtomicUsize::new(0));
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (hosts, turns, mut cut) = (hosts.clone(), turns.clone(), cut.clone());
                cut.mark_unchanged();
                connections.spawn(async move {
                    tokio::select! {
                        _ = carry(client, &hosts, &turns) => {}
                        _ = cut.changed() => {}
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            cuts,
            accepting: accepting.abort_handle(),
        })
    }

    /// Breaks the connections that it carries.
    pub fn cut(&self) {
        self.cuts.send_replace(());
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut client: TcpStream, hosts: &[SocketAddr], turns: &AtomicUsize) -> std::io::Result<()> {
    for _ in hosts {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut host) = TcpStream::connect(hosts[turn % hosts.len()]).await {
            client.set_nodelay(true)?;
            host.set_nodelay(true)?;
            tokio::io::copy_bidirectional(&mut client, &mut host).await?;
            break;
        }
    }
    Ok(())
}
