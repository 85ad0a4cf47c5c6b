//! What can go wrong between this host and a node's ssh server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::model::NodeName;

/// The vendor's error, kept for its text only.
type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read the {which} of this lab")]
    BadKey { which: &'static str, source: Cause },
    #[error("`{node}` does not take ssh connections yet")]
    NotReady { node: NodeName, source: Cause },
    #[error("`{node}` did not let us in within {} s", limit.as_secs_f32())]
    TimedOut { node: NodeName, limit: Duration },
    #[error("what answers for `{node}` at `{address}` does not hold this lab's host key")]
    WrongHostKey { node: NodeName, address: SocketAddr },
    #[error("`{node}` rejected this lab's key for the user `{user}`")]
    KeyRejected { node: NodeName, user: String },
    #[error("could not connect to `{node}` at `{address}`")]
    Connect { node: NodeName, address: SocketAddr, source: Cause },
    #[error("`{node}` did not open {what}")]
    Refused { node: NodeName, what: String, source: Cause },
    #[error("lost the connection to `{node}`")]
    Lost { node: NodeName, source: Cause },
    #[error("could not read what to send to `{node}`")]
    Input { node: NodeName, source: io::Error },
}

impl Error {
    /// Is this what a node says that is still booting? Then asking again makes sense.
    pub fn is_not_ready(&self) -> bool {
        matches!(self, Self::NotReady { .. })
    }

    /// Did the node say nothing, or nothing more? One that boots, restarts or is overloaded is like that.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Lost { .. })
    }

    /// Is the connection gone? Then the session is of no more use, but a new one may be.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Did the node answer, but nothing listens at the socket, or it starts no more commands?
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Returns what to do about it, where the cause tells.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::BadKey { .. } => {
                Some("a key file was damaged; `lab down` and `lab up` make new ones".to_owned())
            }
            Self::WrongHostKey { address, .. } => Some(format!(
                "another program, or a node of another lab, listens at `{address}`; `lab status` finds the port anew"
            )),
            Self::KeyRejected { node, user } => Some(format!(
                "the authorized keys of `{user}` on `{node}` were changed; `lab up` puts them back"
            )),
            Self::TimedOut { node, .. } | Self::Lost { node, .. } => {
                Some(format!("`{node}` may be paused, cut off or overloaded; `lab status` tells"))
            }
            _ => None,
        }
    }
}
