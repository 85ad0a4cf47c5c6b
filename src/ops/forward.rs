//! A way from a port of this host to one of a node, through ssh: for hosts that do not reach the nodes' network.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::link::Link;
use super::run::connect;
use super::{Error, Lab};
use crate::model::NodeName;
use crate::provider::Provider;
use crate::ssh::Session;
use crate::wait::Stop;

pub struct Way {
    listener: TcpListener,
    here: SocketAddr,
    link: Link,
    to: (String, u16),
}

/// Listens on a free port of this host for connections to a port of a node.
pub async fn forward<P: Provider>(lab: &Lab<'_, P>, node: &NodeName, port: u16) -> Result<Way, Error> {
    let seen = lab.observe_existing().await?;
    let address = lab.machine(&seen, node)?.address.to_string();
    let link = connect(lab, &seen, node).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|source| Error::Listen { source })?;
    let here = listener.local_addr().map_err(|source| Error::Listen { source })?;
    Ok(Way { listener, here, link, to: (address, port) })
}

impl Way {
    pub fn address(&self) -> SocketAddr {
        self.here
    }

    /// Passes connections on until the user stops it, or the node is gone.
    pub async fn serve(self, stop: &Stop) -> Result<(), Error> {
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            let (stream, _) = accepted.map_err(|source| Error::Listen { source })?;
            if self.link.session().is_closed() {
                return Err(Error::NotRunning { node: self.link.node().clone() });
            }
            tokio::spawn(pass(stream, self.link.session().clone(), self.to.clone()));
        }
        Ok(())
    }
}

/// A connection that breaks on either side ends; whoever opened it sees that itself.
async fn pass(mut here: TcpStream, session: Session, (address, port): (String, u16)) {
    if let Ok(mut there) = session.tcp(&address, port).await {
        drop(copy_bidirectional(&mut here, &mut there).await);
    }
}
