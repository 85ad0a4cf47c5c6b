//! Waits until units are where they were sent: one look for all of them, again and again, until each has
//! come there or it is clear that it will not.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::fleet::records::MachineId;
use crate::fleet::unit::UnitName;
use crate::ops::Error;
use crate::progress::Step;
use crate::provider::Provider;

use super::cluster::Cluster;
use super::goal::{Goal, Progress, judge};
use super::sight::Sight;
use super::systemd;

/// How long verbs wait, unless told.
pub const PATIENCE: Duration = Duration::from_mins(1);
const EVERY: Duration = Duration::from_millis(200);
/// Machines come and go more seldom than units.
const LOOKS_PER_MACHINES: u32 = 5;
/// Above this number a line for each unit would say less than one for all.
const MOST_LINES: usize = 20;
/// How many lines of a journal say enough.
const LAST_LINES: usize = 8;

/// A unit that did not come to where it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub unit: UnitName,
    pub why: String,
    /// What each machine has against it, or its last words.
    pub details: Vec<String>,
    pub is_late: bool,
}

/// How long something has to be so before it is believed: what fleet tells may be a moment old.
fn believed_after(progress: &Progress) -> Duration {
    match progress {
        Progress::Done(_) => Duration::ZERO,
        // systemd's state is told once a second.
        Progress::Ended { .. } => Duration::from_millis(1200),
        Progress::Failing { .. } => Duration::from_secs(2),
        // An engine of upstream's looks every two seconds.
        Progress::Unplaced(_) => Duration::from_secs(5),
        Progress::Waiting(_) => Duration::MAX,
    }
}

/// What is known of one unit on its way.
struct Traveller {
    goal: Goal,
    progress: Progress,
    since: Instant,
    /// Set when it has ended, well or not.
    end: Option<Result<String, Progress>>,
}

impl Traveller {
    fn new(goal: Goal, now: Instant) -> Self {
        Self { goal, progress: Progress::Waiting("sent on its way".to_owned()), since: now, end: None }
    }

    /// Takes in what was seen. What merely says the same in other words goes on since it began.
    fn see(&mut self, progress: Progress, now: Instant) {
        if std::mem::discriminant(&progress) != std::mem::discriminant(&self.progress) {
            self.since = now;
        }
        self.progress = progress;
    }

    fn is_believed(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= believed_after(&self.progress)
    }

    /// Ends the way if what was seen is the end of it.
    fn settle(&mut self, now: Instant, others_move: bool) {
        match &self.progress {
            Progress::Done(text) => self.end = Some(Ok(text.clone())),
            Progress::Failing { .. } if self.is_believed(now) => self.end = Some(Err(self.progress.clone())),
            // Somebody's peer may still find a place.
            Progress::Unplaced(_) if self.is_believed(now) && !others_move => {
                self.end = Some(Err(self.progress.clone()));
            }
            _ => {}
        }
    }

    fn is_moving(&self) -> bool {
        self.end.is_none() && !matches!(self.progress, Progress::Unplaced(_))
    }
}

/// All units that are waited for.
struct Journey(BTreeMap<UnitName, Traveller>);

impl Journey {
    fn see(&mut self, sight: &Sight, now: Instant) {
        for (name, traveller) in self.0.iter_mut().filter(|(_, traveller)| traveller.end.is_none()) {
            traveller.see(judge(sight, name, &traveller.goal), now);
        }
        let others_move = self.0.values().any(Traveller::is_moving);
        self.0
            .values_mut()
            .filter(|traveller| traveller.end.is_none())
            .for_each(|traveller| traveller.settle(now, others_move));
    }

    /// Returns the units of which only their node can tell whether they have done their work.
    fn to_ask(&self, now: Instant) -> Vec<(UnitName, MachineId)> {
        let open =
            self.0.iter().filter(|(_, traveller)| traveller.end.is_none() && traveller.is_believed(now));
        let ended = open.filter_map(|(name, traveller)| match &traveller.progress {
            Progress::Ended { on } => Some((name.clone(), on.clone())),
            _ => None,
        });
        ended.collect()
    }

    fn is_over(&self) -> bool {
        self.0.values().all(|traveller| traveller.end.is_some())
    }
}

impl<P: Provider> Cluster<'_, P> {
    /// Waits for all of the goals, and fails with the reason of each that is not reached.
    pub async fn wait(
        &self,
        goals: Vec<(UnitName, Goal)>,
        limit: Duration,
        what: &'static str,
    ) -> Result<(), Error> {
        let began = Instant::now();
        let of = goals.len();
        let mut board = Board::new(self, &goals);
        let goals = goals.into_iter().map(|(name, goal)| (name, Traveller::new(goal, began)));
        let mut journey = Journey(goals.collect());
        let mut sight = self.look().await?;
        let mut trouble = None;
        for look in 1.. {
            if trouble.is_none() {
                let now = Instant::now();
                journey.see(&sight, now);
                self.ask_nodes(&mut journey, &sight, now).await;
            }
            board.show(&journey);
            if journey.is_over() || began.elapsed() >= limit {
                break;
            }
            sleep(EVERY).await;
            let has_machines = look % LOOKS_PER_MACHINES == 0;
            let seen = if has_machines { self.look().await } else { self.look_again(&sight).await };
            // The node that was asked may be the one that is being killed.
            match seen {
                Ok(seen) => (sight, trouble) = (seen, None),
                Err(Error::Fleet(error)) if error.is_passing() => trouble = Some(error),
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = trouble {
            return Err(error.into());
        }
        let failures = self.failures(journey, &sight, limit).await;
        if failures.is_empty() { Ok(()) } else { Err(Error::Unfinished { what, failures, of }) }
    }

    async fn ask_nodes(&self, journey: &mut Journey, sight: &Sight, now: Instant) {
        let asked = journey.to_ask(now);
        let asking = asked.iter().map(async |(name, id)| systemd::ending(self, sight, name, id).await);
        for ((name, id), ending) in asked.iter().zip(join_all(asking).await) {
            let Some(traveller) = journey.0.get_mut(name) else { continue };
            let on = sight.names.name(id);
            match ending {
                systemd::Ending::Unknown => {}
                systemd::Ending::Well => traveller.end = Some(Ok(format!("has done its work on {on}"))),
                systemd::Ending::Badly(why) => {
                    let why = format!("{why} on {on}");
                    traveller.end = Some(Err(Progress::Failing { on: Some(id.clone()), why }));
                }
            }
        }
    }

    async fn failures(&self, journey: Journey, sight: &Sight, limit: Duration) -> Vec<Failure> {
        let failed = journey.0.into_iter().filter_map(|(unit, traveller)| match traveller.end {
            Some(Ok(_)) => None,
            Some(Err(progress)) => Some((unit, progress, false)),
            None => Some((unit, traveller.progress, true)),
        });
        let told = failed.map(async |(unit, progress, is_late)| {
            let (why, details) = self.explain(sight, &unit, progress).await;
            let why = if is_late { format!("{why}, after {} s", limit.as_secs()) } else { why };
            Failure { unit, why, details, is_late }
        });
        join_all(told).await
    }

    async fn explain(&self, sight: &Sight, unit: &UnitName, progress: Progress) -> (String, Vec<String>) {
        match progress {
            Progress::Done(why) | Progress::Waiting(why) if sight.is_unplaced(unit) => {
                (why, sight.reasons(unit))
            }
            Progress::Done(why) | Progress::Waiting(why) => {
                // One that was to serve and did not has said something about it, on the machine where it does not.
                let is_silent = |id: &&MachineId| {
                    sight.answers.get(&(unit.clone(), (*id).clone())).is_none_or(Result::is_err)
                };
                match sight.homes(unit).iter().find(is_silent) {
                    Some(on) if !sight.answers.is_empty() => {
                        (why, systemd::last_words(self, sight, unit, on, LAST_LINES).await)
                    }
                    _ => (why, Vec::new()),
                }
            }
            Progress::Unplaced(why) => (why, sight.reasons(unit)),
            Progress::Ended { on } => {
                let why = format!("it does not run on {}", sight.names.name(&on));
                (why, systemd::last_words(self, sight, unit, &on, LAST_LINES).await)
            }
            Progress::Failing { on: Some(on), why } => {
                (why, systemd::last_words(self, sight, unit, &on, LAST_LINES).await)
            }
            Progress::Failing { on: None, why } => (why, Vec::new()),
        }
    }
}

/// Shows how far units are: a line for each, or one for all.
enum Board {
    Each(BTreeMap<UnitName, (Option<Step>, String)>),
    All { step: Option<Step>, last: String },
}

impl Board {
    fn new<P: Provider>(cluster: &Cluster<'_, P>, goals: &[(UnitName, Goal)]) -> Self {
        let begin = |subject: String| Some(cluster.progress().begin(subject, "on its way"));
        if goals.len() > MOST_LINES {
            return Self::All { step: begin(format!("{} units", goals.len())), last: String::new() };
        }
        let lines = goals.iter().map(|(name, _)| (name.clone(), (begin(name.to_string()), String::new())));
        Self::Each(lines.collect())
    }

    fn show(&mut self, journey: &Journey) {
        match self {
            Self::Each(lines) => {
                for (name, traveller) in &journey.0 {
                    if let Some((step, last)) = lines.get_mut(name) {
                        show_one(step, last, traveller);
                    }
                }
            }
            Self::All { step, last } => show_all(step, last, journey),
        }
    }
}

/// Returns what is shown of a unit that is on its way.
fn told(progress: &Progress) -> &str {
    match progress {
        Progress::Done(text) | Progress::Waiting(text) | Progress::Unplaced(text) => text,
        Progress::Ended { .. } => "does not run (any more)",
        Progress::Failing { why, .. } => why,
    }
}

fn show_one(step: &mut Option<Step>, last: &mut String, traveller: &Traveller) {
    let text = match &traveller.end {
        None => told(&traveller.progress).to_owned(),
        Some(Ok(text)) => return step.take().into_iter().for_each(|step| step.done(text.as_str())),
        Some(Err(progress)) => return step.take().into_iter().for_each(|step| step.failed(told(progress))),
    };
    if let Some(step) = step.as_ref().filter(|_| *last != text) {
        step.change(text.as_str());
        *last = text;
    }
}

fn show_all(step: &mut Option<Step>, last: &mut String, journey: &Journey) {
    let count = |is: &dyn Fn(&Traveller) -> bool| journey.0.values().filter(|unit| is(unit)).count();
    let (done, failed) =
        (count(&|unit| matches!(unit.end, Some(Ok(_)))), count(&|unit| matches!(unit.end, Some(Err(_)))));
    let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    let text = format!("{done} of {} there{failures}", journey.0.len());
    if journey.is_over() {
        let end = |step: Step| if failed > 0 { step.failed(text.as_str()) } else { step.done(text.as_str()) };
        return step.take().into_iter().for_each(end);
    }
    if let Some(step) = step.as_ref().filter(|_| *last != text) {
        step.change(text.as_str());
        *last = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traveller(progress: Progress, now: Instant) -> Traveller {
        let mut traveller = Traveller::new(Goal::Active, now);
        traveller.see(progress, now);
        traveller
    }

    fn failing() -> Progress {
        Progress::Failing { on: None, why: "failed".to_owned() }
    }

    fn unplaced() -> Progress {
        Progress::Unplaced("nowhere".to_owned())
    }

    #[test]
    fn a_failure_is_believed_when_it_lasts() {
        let now = Instant::now();
        let mut unit = traveller(failing(), now);
        unit.settle(now + Duration::from_secs(1), true);
        assert_eq!(unit.end, None);
        unit.see(Progress::Waiting("activating".to_owned()), now + Duration::from_secs(1));
        unit.see(failing(), now + Duration::from_secs(2));
        unit.settle(now + Duration::from_secs(3), true);
        assert_eq!(unit.end, None);
        unit.settle(now + Duration::from_secs(4), true);
        assert_eq!(unit.end, Some(Err(failing())));
    }

    #[test]
    fn a_unit_without_a_place_is_given_up_when_nobody_else_moves() {
        let now = Instant::now();
        let mut unit = traveller(unplaced(), now);
        unit.settle(now + Duration::from_mins(1), true);
        assert_eq!(unit.end, None);
        unit.settle(now + Duration::from_secs(4), false);
        assert_eq!(unit.end, None);
        unit.settle(now + Duration::from_secs(5), false);
        assert_eq!(unit.end, Some(Err(unplaced())));
    }

    #[test]
    fn a_unit_that_arrives_has_arrived() {
        let now = Instant::now();
        let mut unit = traveller(Progress::Done("active".to_owned()), now);
        unit.settle(now, true);
        assert_eq!(unit.end, Some(Ok("active".to_owned())));
        assert!(!unit.is_moving());
    }

    #[test]
    fn nodes_are_asked_of_what_has_not_run_for_a_while() {
        let now = Instant::now();
        let name = UnitName::parse("a.service").unwrap();
        let ended = traveller(Progress::Ended { on: MachineId::new("m1") }, now);
        let journey = Journey([(name.clone(), ended)].into());
        assert_eq!(journey.to_ask(now + Duration::from_secs(1)), []);
        assert_eq!(journey.to_ask(now + Duration::from_secs(2)), [(name, MachineId::new("m1"))]);
    }
}
