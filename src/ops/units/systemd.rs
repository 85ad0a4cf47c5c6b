//! What only a node can tell of a unit: how it ended, and what it said last.

use std::collections::BTreeMap;

use crate::exec::Cmd;
use crate::fleet::records::MachineId;
use crate::fleet::unit::UnitName;
use crate::ops::Error;
use crate::provider::Provider;

use super::cluster::Cluster;
use super::sight::Sight;

/// How a unit that does not run has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It has not begun yet, or nobody can tell.
    Unknown,
    Well,
    Badly(String),
}

/// What `systemctl show` says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown(BTreeMap<String, String>);

const WANTED: &str = "ActiveState,SubState,Result,ExecMainStatus,ConditionResult,ConditionTimestampMonotonic,Job,InactiveExitTimestampMonotonic";

impl Shown {
    fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn is(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Returns how the unit has ended. Before its first start everything looks as after a good end, but for
    /// the time at which it left that state.
    fn ending(&self) -> Ending {
        let has_begun = !matches!(self.is("InactiveExitTimestampMonotonic"), "" | "0");
        let is_queued = !matches!(self.is("Job"), "" | "0");
        match (self.is("ActiveState"), self.is("Result")) {
            ("failed", _) => Ending::Badly(self.words()),
            ("inactive", _) if is_queued => Ending::Unknown,
            ("inactive", _) if self.is_forgotten() => Ending::Well,
            ("inactive", _) if self.is("ConditionResult") == "no" => {
                Ending::Badly("a Condition of its file is not met, so systemd did not start it".to_owned())
            }
            ("inactive", "success") if has_begun => Ending::Well,
            ("inactive", result) if !matches!(result, "" | "success") => Ending::Badly(self.words()),
            _ => Ending::Unknown,
        }
    }

    /// Returns whether systemd knows nothing of what the unit did. Of one that failed it keeps how, and of one
    /// that ended well nothing; whether it was started at all its machine has said before this is asked.
    fn is_forgotten(&self) -> bool {
        self.is("ActiveState") == "inactive" && self.is("ConditionTimestampMonotonic") == "0"
    }

    /// Returns the state as people read it.
    fn words(&self) -> String {
        let mut words = format!("{} ({})", self.is("ActiveState"), self.is("SubState"));
        let result = self.is("Result");
        if !matches!(result, "" | "success") {
            words += &format!(", {result}");
        }
        if !matches!(self.is("ExecMainStatus"), "" | "0") {
            words += &format!(", status {}", self.is("ExecMainStatus"));
        }
        words
    }
}

/// Asks a unit's node how it has ended.
pub async fn ending<P: Provider>(
    cluster: &Cluster<'_, P>,
    sight: &Sight,
    unit: &UnitName,
    id: &MachineId,
) -> Ending {
    show(cluster, sight, unit, id).await.map_or(Ending::Unknown, |shown| shown.ending())
}

async fn show<P: Provider>(
    cluster: &Cluster<'_, P>,
    sight: &Sight,
    unit: &UnitName,
    id: &MachineId,
) -> Result<Shown, Error> {
    let (_, session) = cluster.session(sight, id).await?;
    let cmd = Cmd::new("systemctl").arg("show").arg(format!("--property={WANTED}"));
    let output = session.run(&cmd.arg("--").arg(unit.as_str()), &[]).await?;
    Ok(Shown::parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Returns the state and the last lines of the journal of a unit that failed. A node that cannot be asked
/// says why in their place.
pub async fn last_words<P: Provider>(
    cluster: &Cluster<'_, P>,
    sight: &Sight,
    unit: &UnitName,
    id: &MachineId,
    lines: usize,
) -> Vec<String> {
    let asking = async {
        let shown = show(cluster, sight, unit, id).await?;
        let (_, session) = cluster.session(sight, id).await?;
        let cmd = Cmd::new("journalctl").args(["--no-pager", "--quiet", "--output=cat"]);
        let cmd = cmd.arg(format!("--lines={lines}")).arg(format!("--unit={unit}"));
        let output = session.run(&cmd, &[]).await?;
        let mut words = vec![format!("systemd: {}", shown.words())];
        words.extend(String::from_utf8_lossy(&output.stdout).lines().map(|line| format!("| {line}")));
        Ok::<_, Error>(words)
    };
    asking.await.unwrap_or_else(|error| vec![error.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &Ending) {
        assert_eq!(Shown::parse(text).ending(), *want, "{text}");
    }

    #[test]
    fn a_good_end_is_told_from_no_beginning() {
        let ended = "ActiveState=inactive\nSubState=dead\nResult=success\nConditionResult=yes\n";
        check(&format!("{ended}InactiveExitTimestampMonotonic=12345\n"), &Ending::Well);
        check(&format!("{ended}InactiveExitTimestampMonotonic=0\n"), &Ending::Unknown);
        check(&format!("{ended}InactiveExitTimestampMonotonic=12345\nJob=7\n"), &Ending::Unknown);
        check("ActiveState=active\nResult=success\n", &Ending::Unknown);
        check("", &Ending::Unknown);
    }

    #[test]
    fn what_systemd_has_forgotten_has_ended_well() {
        let gone =
            "ActiveState=inactive\nResult=success\nConditionResult=no\nConditionTimestampMonotonic=0\n";
        check(gone, &Ending::Well);
        check(&format!("{gone}Job=7\n"), &Ending::Unknown);
    }

    #[test]
    fn a_bad_end_says_how() {
        check(
            "ActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainStatus=203\n",
            &Ending::Badly("failed (failed), exit-code, status 203".to_owned()),
        );
        let why = "a Condition of its file is not met, so systemd did not start it".to_owned();
        check(
            "ActiveState=inactive\nResult=success\nConditionResult=no\nInactiveExitTimestampMonotonic=1\n",
            &Ending::Badly(why),
        );
    }
}
