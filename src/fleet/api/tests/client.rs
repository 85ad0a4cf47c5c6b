//! Our client against our server.

use std::error::Error as StdError;

use super::kit::Server;
use crate::fleet::client::{Client, Dial, Error, file_of};
use crate::fleet::records::{MachineId, Phase, Scheduling};
use crate::fleet::unit::{UnitFile, UnitName};
use crate::fleet::v1::Unit;
use crate::http::Connection;

impl Dial for &Server {
    async fn dial(&self) -> Result<Connection, Box<dyn StdError + Send + Sync>> {
        Ok(Connection::over(self.say(b"").await).await?)
    }
}

fn unit(name: &str, text: &str, desired: Phase) -> Unit {
    Unit {
        name: name.to_owned(),
        options: UnitFile::parse(text).unwrap().options().to_vec(),
        desired_state: Some(desired),
        text: Some(text.to_owned()),
        ..Unit::default()
    }
}

#[tokio::test]
async fn units_come_stay_and_go_with_their_comments() {
    const TEXT: &str = "# Hello.\n[Service]\nExecStart=/bin/true\n";
    let server = Server::start().await;
    let client = Client::new(&server);
    let name = UnitName::parse("web@1.service").unwrap();
    assert_eq!(client.unit(&name).await.unwrap(), None);
    client.put(&unit(name.as_str(), TEXT, Phase::Launched)).await.unwrap();
    assert!(client.engine().is_ours(), "{}", client.engine());
    server.settle().await;

    let told = client.unit(&name).await.unwrap().unwrap();
    assert_eq!(file_of(&told).unwrap().text(), TEXT);
    let listed = client.units().await.unwrap().remove(0);
    assert_eq!(
        (listed.machine_id, listed.desired_state),
        (Some(MachineId::new("m1")), Some(Phase::Launched))
    );
    client.set_desired(&name, Phase::Loaded).await.unwrap();
    assert_eq!(server.record(name.as_str()).desired, Phase::Loaded);
    client.destroy(&name).await.unwrap();
    client.destroy(&name).await.unwrap();
    assert_eq!(client.units().await.unwrap(), []);
    assert_eq!(client.fsck().await.unwrap(), []);
}

#[tokio::test]
async fn more_units_than_a_page_has_are_all_listed() {
    let server = Server::start().await;
    let client = Client::new(&server);
    for number in 0..205 {
        let unit = unit(&format!("u{number:03}.service"), "[Service]\n[Unit]\nA=b\n", Phase::Inactive);
        client.put(&unit).await.unwrap();
    }
    let names: Vec<String> = client.units().await.unwrap().into_iter().map(|unit| unit.name).collect();
    assert_eq!((names.len(), names.is_sorted()), (205, true));
}

#[tokio::test]
async fn machines_are_cordoned_and_remembered() {
    let server = Server::start().await;
    let client = Client::new(&server);
    let id = MachineId::new("m1");
    client.set_scheduling(&id, Scheduling::Drained).await.unwrap();
    let nodes = client.nodes().await.unwrap();
    assert_eq!((nodes[0].scheduling, nodes[0].present), (Some(Scheduling::Drained), Some(true)));
    server.leave("m1").await;
    assert_eq!(client.machines().await.unwrap(), []);
    assert_eq!(client.nodes().await.unwrap()[0].present, Some(false));
    let unknown = client.set_scheduling(&MachineId::new("m9"), Scheduling::Open).await.unwrap_err();
    assert!(matches!(unknown, Error::Refused { code: 404, .. }), "{unknown}");
}
