//! Networks: one bridge for each lab.

use bollard::models::{Ipam, IpamConfig, Network as Summary, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptions;

use super::engine::labels;
use super::{Engine, Error, Labels};
use crate::model::Subnet;

#[derive(Debug, Clone)]
pub struct Network {
    pub name: String,
    pub labels: Labels,
    pub subnets: Vec<Subnet>,
}

impl Engine {
    /// Lists all networks of the engine, with the addresses that they take.
    pub async fn networks(&self) -> Result<Vec<Network>, Error> {
        let found = self.api.list_networks(None::<ListNetworksOptions>).await;
        Ok(found.map_err(Error::of("list networks"))?.into_iter().map(read).collect())
    }

    /// Makes a bridge.
    pub async fn create_network(&self, name: &str, subnet: Subnet, labels: &Labels) -> Result<(), Error> {
        let config = IpamConfig {
            subnet: Some(subnet.to_string()),
            gateway: Some(subnet.gateway().to_string()),
            ..Default::default()
        };
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            ipam: Some(Ipam { config: Some(vec![config]), ..Default::default() }),
            labels: Some(labels.clone().into_iter().collect()),
            ..Default::default()
        };
        let made = self.api.create_network(request).await;
        made.map(drop).map_err(Error::of(format!("make the network `{name}` ({subnet})")))
    }

    /// Removes a network; one that is not there counts as removed.
    pub async fn remove_network(&self, name: &str) -> Result<(), Error> {
        match self.api.remove_network(name).await.map_err(Error::of(format!("remove the network `{name}`"))) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }
}

fn read(network: Summary) -> Network {
    let config = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    Network {
        name: network.name.unwrap_or_default(),
        labels: labels(network.labels),
        subnets: config.iter().filter_map(|part| part.subnet.as_deref()?.parse().ok()).collect(),
    }
}
