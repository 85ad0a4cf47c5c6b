//! `lab unit status` and `journal`: what systemd and the journal say of units, on all nodes that have them.

use std::sync::Mutex;

use futures_util::future::join_all;

use crate::exec::Cmd;
use crate::fleet::records::MachineId;
use crate::fleet::unit::UnitName;
use crate::ops::{Error, Lab, NodeOutput};
use crate::provider::Provider;
use crate::ssh::Event;

use super::cluster::Cluster;
use super::select::{UnitArg, select_all};
use super::sight::Sight;

/// What to ask nodes about a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    Status,
    Journal { lines: u32, follow: bool },
}

impl Query {
    fn command(self, unit: &UnitName) -> Cmd {
        match self {
            Self::Status => {
                Cmd::new("systemctl").args(["status", "--full", "--no-pager", "--"]).arg(unit.as_str())
            }
            Self::Journal { lines, follow } => {
                let cmd = Cmd::new("journalctl").args(["--no-pager", "--output=short-precise"]);
                let cmd = cmd.arg(format!("--lines={lines}")).arg(format!("--unit={unit}"));
                if follow { cmd.arg("--follow") } else { cmd }
            }
        }
    }
}

/// A unit on a machine, and whether it is the only one that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub unit: UnitName,
    pub machine: String,
    pub is_alone: bool,
    id: MachineId,
}

/// Asks all nodes that have one of the units, hands on what they say as it comes, and returns the highest
/// exit code.
pub async fn ask_nodes<P: Provider>(
    lab: &Lab<'_, P>,
    args: &[UnitArg],
    query: Query,
    on_output: impl FnMut(&Place, NodeOutput),
) -> Result<i32, Error> {
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    let known: Vec<&UnitName> = sight.units.keys().chain(sight.states.keys()).collect();
    let names: Vec<UnitName> =
        select_all(args, &known)?.into_iter().filter(|name| !name.is_template()).collect();
    let places = places(&sight, &names)?;
    let on_output = Mutex::new(on_output);
    let asked = places.iter().map(async |place| {
        let (_, session) = cluster.session(&sight, &place.id).await?;
        let line = query.command(&place.unit).to_string();
        let mut process = session.start(&line, tokio::io::empty()).await?;
        loop {
            let output = match process.next().await? {
                Event::Stdout(bytes) => NodeOutput::Stdout(bytes),
                Event::Stderr(bytes) => NodeOutput::Stderr(bytes),
                Event::Exit(code) => return Ok(code),
            };
            (on_output.lock().expect("whoever shows output does not panic"))(place, output);
        }
    });
    let codes: Result<Vec<i32>, Error> = join_all(asked).await.into_iter().collect();
    Ok(codes?.into_iter().max().unwrap_or(0))
}

/// Returns where the units are. One that is nowhere is an error, with the reason.
fn places(sight: &Sight, names: &[UnitName]) -> Result<Vec<Place>, Error> {
    let mut all = Vec::new();
    for name in names {
        let on: Vec<MachineId> = sight.hosts(name).into_iter().collect();
        if on.is_empty() {
            return Err(Error::NotLoaded { unit: name.clone() });
        }
        all.extend(on.into_iter().map(|id| (name, id)));
    }
    let is_alone = all.len() == 1;
    let place = |(unit, id): (&UnitName, MachineId)| {
        let machine = sight.names.name(&id);
        Place { unit: unit.clone(), machine, is_alone, id }
    };
    Ok(all.into_iter().map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::records::Phase;
    use crate::ops::units::sight::tests::{name, sight, state, unit};

    #[test]
    fn a_question_becomes_a_command() {
        let status = Query::Status.command(&name("a@1.service")).to_string();
        assert_eq!(status, "systemctl status --full --no-pager -- a@1.service");
        let journal = Query::Journal { lines: 5, follow: true }.command(&name("a.service")).to_string();
        let want = "journalctl --no-pager '--output=short-precise' '--lines=5' '--unit=a.service' --follow";
        assert_eq!(journal, want);
    }

    #[test]
    fn a_unit_is_asked_about_wherever_it_is_or_was() {
        let seen = sight(
            vec![
                unit("a.service", "", Phase::Launched, Some("m2")),
                unit("g.service", "[X-Fleet]\nGlobal=true\n", Phase::Launched, None),
                unit("x.service", "", Phase::Inactive, None),
            ],
            vec![
                state("g.service", "m1", "active", "running"),
                state("g.service", "m3", "active", "running"),
            ],
        );
        let at = |names: &[&str]| {
            let names: Vec<UnitName> = names.iter().map(|text| name(text)).collect();
            places(&seen, &names).map(|places| {
                places.iter().map(|place| (place.machine.clone(), place.is_alone)).collect::<Vec<_>>()
            })
        };
        assert_eq!(at(&["a.service"]).unwrap(), [("core-02".to_owned(), true)]);
        let both = [("core-01".to_owned(), false), ("core-03".to_owned(), false)];
        assert_eq!(at(&["g.service"]).unwrap(), both);
        assert!(matches!(at(&["x.service"]), Err(Error::NotLoaded { .. })));
    }
}
