//! Changes of etcd's members, one after the other, through a member that stays.

use std::time::Duration;

use crate::etcd;
use crate::model::NodeName;
use crate::provider::Provider;
use crate::wait::wait_until;

use super::super::{Error, Link};
use super::apply::{Links, Work};

/// A cluster that has just started does not change its members for the first five seconds.
const LIMIT: Duration = Duration::from_mins(1);

impl<P: Provider> Work<'_, P> {
    /// Gives a member that lost its data a new place in the cluster; its old one is of no use to it.
    pub(super) async fn rejoin_etcd(&self, name: &NodeName, links: &Links) -> Result<(), Error> {
        let step = self.lab.progress.begin(name.as_str(), "leaving and joining etcd, as its data is gone");
        let url = format!("http://{}:2380", self.node(name).address);
        self.change_members(links, async |etcd| {
            let members = etcd.members().await?;
            // One without a name was added and has not started: this very work, cut short.
            if let Some(old) = members.iter().find(|member| member.name == name.as_str()) {
                etcd.remove_member(old.id).await?;
            }
            etcd.add_member(&url).await.map(drop)
        })
        .await?;
        step.done("has a new place in etcd");
        Ok(())
    }

    pub(super) async fn leave_etcd(&self, name: &NodeName, links: &Links) -> Result<(), Error> {
        let step = self.lab.progress.begin(name.as_str(), "leaving etcd");
        self.change_members(links, async |etcd| {
            let members = etcd.members().await?;
            match members.iter().find(|member| member.name == name.as_str()) {
                Some(member) => etcd.remove_member(member.id).await,
                None => Ok(()),
            }
        })
        .await?;
        step.done("left etcd");
        Ok(())
    }

    /// Asks a member that stays, again and again while the cluster is still finding itself.
    async fn change_members(
        &self,
        links: &Links,
        change: impl AsyncFn(&mut etcd::Client) -> Result<(), etcd::Error>,
    ) -> Result<(), Error> {
        let staying: Vec<&Link> =
            self.topology.members().filter_map(|member| links.get(&member.name)).collect();
        let mut last = None;
        let changed = wait_until("etcd agrees", LIMIT, Duration::from_millis(200), async || {
            for link in &staying {
                let result = match link.etcd().await {
                    Ok(mut etcd) => change(&mut etcd).await.map_err(|source| Error::Members { source }),
                    Err(error) => Err(error),
                };
                match result {
                    Ok(()) => return Some(Ok(())),
                    Err(Error::Members { source }) if !source.may_pass() => {
                        return Some(Err(Error::Members { source }));
                    }
                    Err(error) => last = Some(error),
                }
            }
            None
        })
        .await;
        let lost = || Error::Members { source: etcd::Error::QuorumLost };
        changed.unwrap_or_else(|_| Err(last.take().unwrap_or_else(lost)))
    }
}
