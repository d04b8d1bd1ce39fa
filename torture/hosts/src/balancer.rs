//! A balancer as dumb as they come: each connection goes to the next host in turn. It asks nobody how he is; where nobody listens, the
//! connection goes to the one behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};

/// One address for all hosts.
pub struct Balancer {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Balancer {
    /// In front of these.
    ///
    /// # Errors
    /// No port is free.
    pub async fn before(hosts: Vec<SocketAddr>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let hosts = Arc::new(hosts);
        tokio::spawn(async move {
            let turns = Arc::new(AtomicUsize::new(0));
            while let Ok((client, _)) = listener.accept().await {
                let (hosts, turns) = (hosts.clone(), turns.clone());
                tokio::spawn(async move {
                    let _ = carry(client, &hosts, &turns).await;
                });
            }
        });
        Ok(Self { address })
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
