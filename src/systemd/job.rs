//! Jobs: what systemd is to do with a unit, and how that ended.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use zbus::{MessageStream, OwnedObjectPath};

use super::bus::{Bus, MANAGER, ORDER_LIMIT, PATH, body};
use super::error::Error;
use super::manager::Manager;

pub(super) const JOB_REMOVED: &str = "JobRemoved";

/// What the signal says: number, job, unit, result.
pub(super) type JobRemoved = (u32, OwnedObjectPath, String, String);

/// A job may end before the answer that names it was read. Far fewer jobs than this end in between.
const REMEMBERED: usize = 1024;

/// A job that systemd has queued. It goes on if this is dropped.
#[derive(Debug)]
pub struct Job {
    unit: String,
    result: oneshot::Receiver<String>,
    /// Listening goes on until the job ended, even if the manager is dropped before.
    _jobs: Option<Arc<Jobs>>,
}

impl Job {
    /// A job that there is no need for.
    pub(super) fn done(unit: &str) -> Self {
        let (sender, result) = oneshot::channel();
        // The receiver is in our hands, so it is there.
        drop(sender.send("done".to_owned()));
        Self { unit: unit.to_owned(), result, _jobs: None }
    }

    /// Returns `done`, `failed`, `canceled`, `timeout`, `dependency`, `skipped` … when systemd has ended the
    /// job. Has no limit of its own.
    pub async fn end(self) -> Result<String, Error> {
        self.result.await.map_err(|_| Error::JobLost { unit: self.unit })
    }
}

impl Manager {
    /// Orders a job, in place of one that is queued for the unit and would do the opposite.
    pub(super) async fn queue(&self, method: &'static str, unit: &str) -> Result<Job, Error> {
        let bus = self.bus().await?;
        // Listening begins before the order, or a quick job would end unheard.
        let jobs = bus.jobs().await?;
        let answer = bus.call(method, ORDER_LIMIT, &(unit, "replace")).await?;
        let job: OwnedObjectPath = body(method, &answer)?;
        let result = lock(&jobs.ledger).wait(job);
        Ok(Job { unit: unit.to_owned(), result, _jobs: Some(Arc::clone(jobs)) })
    }
}

/// Hears how the jobs of one connection end, for all who wait.
#[derive(Debug)]
pub(super) struct Jobs {
    ledger: Arc<Mutex<Ledger>>,
    _reader: AbortOnDropHandle<()>,
}

impl Jobs {
    pub(super) async fn listen(bus: &Bus) -> Result<Arc<Self>, Error> {
        let ends = bus.listen(MANAGER, JOB_REMOVED, |rule| rule.path(PATH)).await?;
        let ledger = Arc::default();
        let reading = read(ends, Arc::clone(&ledger));
        Ok(Arc::new(Self { ledger, _reader: AbortOnDropHandle::new(tokio::spawn(reading)) }))
    }
}

async fn read(mut ends: MessageStream, ledger: Arc<Mutex<Ledger>>) {
    while let Some(Ok(signal)) = ends.next().await {
        if let Ok((_, job, _, result)) = body::<JobRemoved>(JOB_REMOVED, &signal) {
            lock(&ledger).end(job, result);
        }
    }
    lock(&ledger).lose();
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who waits for which job, and how the last ones ended.
#[derive(Debug, Default)]
struct Ledger {
    /// systemd merges an order into a job that is queued already, so several may wait for one.
    waiting: HashMap<OwnedObjectPath, Vec<oneshot::Sender<String>>>,
    ended: VecDeque<(OwnedObjectPath, String)>,
    is_lost: bool,
}

impl Ledger {
    fn end(&mut self, job: OwnedObjectPath, result: String) {
        for sender in self.waiting.remove(&job).into_iter().flatten() {
            // Whoever dropped their job does not want to know.
            drop(sender.send(result.clone()));
        }
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((job, result));
    }

    /// Gets an error instead of a result when the connection is lost.
    fn wait(&mut self, job: OwnedObjectPath) -> oneshot::Receiver<String> {
        let (sender, receiver) = oneshot::channel();
        if let Some((_, result)) = self.ended.iter().rev().find(|(ended, _)| *ended == job) {
            drop(sender.send(result.clone()));
        } else if !self.is_lost {
            self.waiting.entry(job).or_default().push(sender);
        }
        receiver
    }

    fn lose(&mut self) {
        self.is_lost = true;
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: usize) -> OwnedObjectPath {
        OwnedObjectPath::try_from(format!("{PATH}/job/{number}")).unwrap()
    }

    fn end(ledger: &mut Ledger, number: usize, result: &str) {
        ledger.end(job(number), result.to_owned());
    }

    #[test]
    fn all_who_wait_for_a_job_hear_of_its_end_and_only_of_that() {
        let mut ledger = Ledger::default();
        let mut one = ledger.wait(job(1));
        let mut same = ledger.wait(job(1));
        let mut other = ledger.wait(job(2));
        drop(ledger.wait(job(1)));
        end(&mut ledger, 3, "done");
        end(&mut ledger, 1, "failed");
        assert_eq!(one.try_recv().as_deref(), Ok("failed"));
        assert_eq!(same.try_recv().as_deref(), Ok("failed"));
        assert_eq!(other.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        assert_eq!(ledger.waiting.len(), 1);
    }

    #[test]
    fn a_job_that_ended_before_anybody_waited_is_remembered() {
        let mut ledger = Ledger::default();
        (0..REMEMBERED).for_each(|number| end(&mut ledger, number, "done"));
        assert_eq!(ledger.wait(job(0)).try_recv().as_deref(), Ok("done"));
        assert_eq!(ledger.wait(job(0)).try_recv().as_deref(), Ok("done"));
        end(&mut ledger, REMEMBERED, "timeout");
        assert_eq!(ledger.ended.len(), REMEMBERED);
        assert_eq!(ledger.wait(job(REMEMBERED)).try_recv().as_deref(), Ok("timeout"));
    }

    #[test]
    fn nobody_waits_for_a_connection_that_is_lost() {
        let closed = Err(oneshot::error::TryRecvError::Closed);
        let mut ledger = Ledger::default();
        let mut before = ledger.wait(job(1));
        end(&mut ledger, 2, "done");
        ledger.lose();
        assert_eq!(before.try_recv(), closed);
        assert_eq!(ledger.wait(job(1)).try_recv(), closed);
        assert_eq!(ledger.wait(job(2)).try_recv().as_deref(), Ok("done"));
    }

    #[tokio::test]
    async fn a_job_that_is_not_needed_is_done() {
        assert_eq!(Job::done("a.service").end().await.unwrap(), "done");
    }
}
