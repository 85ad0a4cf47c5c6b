//! Boots machines: all that are asked for at the same moment in one process where Vagrant works on several at
//! once, and one process for each where it would take them one after the other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::model::NodeName;
use crate::vagrant::{Error, Kind, News, Vagrant, What};
use crate::wait::Stop;

/// As long as nodes of a lab are asked for one after the other, none is booted without the others. Containers are asked
/// for at once; before a virtual machine is, the hypervisor is looked at, by programs that are started for that.
const GATHER_CONTAINERS: Duration = Duration::from_millis(10);
const GATHER_MACHINES: Duration = Duration::from_millis(250);
/// More only wait for each other in the hypervisor, and for the processor with their Rubies.
const AT_ONCE: usize = 4;

type End = Result<(), Arc<Error>>;

#[derive(Clone)]
pub(super) struct Crew(Arc<Inner>);

struct Inner {
    vagrant: Vagrant,
    is_one_for_all: bool,
    gather: Duration,
    waiting: Mutex<Vec<Wish>>,
    under_way: Mutex<Vec<JoinHandle<End>>>,
    seats: Semaphore,
    /// Ends what is under way now. What begins after that has another one.
    stop: Mutex<Stop>,
}

/// A machine that is to be up, and who wants to know.
struct Wish {
    node: NodeName,
    tell: Box<dyn Fn(String) + Send>,
    done: Option<oneshot::Sender<End>>,
}

impl Crew {
    pub(super) fn new(vagrant: Vagrant, kind: Kind) -> Self {
        Self(Arc::new(Inner {
            vagrant,
            // VirtualBox boots one after the other in one process, however it is asked.
            is_one_for_all: kind != Kind::VirtualBox,
            gather: if kind == Kind::Docker { GATHER_CONTAINERS } else { GATHER_MACHINES },
            waiting: Mutex::default(),
            under_way: Mutex::default(),
            // libvirt removes networks behind the back of machines that are removed at the same time.
            seats: Semaphore::new(if kind == Kind::Libvirt { 1 } else { AT_ONCE }),
            stop: Mutex::default(),
        }))
    }

    pub(super) fn vagrant(&self) -> &Vagrant {
        &self.0.vagrant
    }

    /// Boots a machine, and tells on the way what Vagrant says of it. It goes on also if nobody waits any more.
    pub(super) fn up(
        &self,
        node: &NodeName,
        tell: impl Fn(String) + Send + 'static,
    ) -> oneshot::Receiver<End> {
        let (done, ended) = oneshot::channel();
        let wish = Wish { node: node.clone(), tell: Box::new(tell), done: Some(done) };
        let (inner, stop) = (self.0.clone(), locked(&self.0.stop).clone());
        if !inner.is_one_for_all {
            self.go_on(async move {
                let _seat = inner.seats.acquire().await;
                inner.boot(vec![wish], &stop).await
            });
            return ended;
        }
        let is_first = {
            let mut waiting = locked(&inner.waiting);
            waiting.push(wish);
            waiting.len() == 1
        };
        if is_first {
            self.go_on(async move {
                let _seat = inner.seats.acquire().await;
                let wishes = inner.gathered().await;
                inner.boot(wishes, &stop).await
            });
        }
        ended
    }

    fn go_on(&self, work: impl Future<Output = End> + Send + 'static) {
        locked(&self.0.under_way).push(tokio::spawn(work));
    }

    /// Shuts a machine down.
    pub(super) async fn halt(&self, node: &NodeName) -> Result<(), Error> {
        let _seat = self.0.seats.acquire().await;
        self.0.vagrant.halt(std::slice::from_ref(node)).await
    }

    /// Removes a machine.
    pub(super) async fn destroy(&self, node: &NodeName) -> Result<(), Error> {
        let _seat = self.0.seats.acquire().await;
        self.0.vagrant.destroy(std::slice::from_ref(node)).await
    }

    /// Waits for what is under way; returns what went wrong unheard.
    pub(super) async fn finish(&self) -> End {
        let under_way = std::mem::take(&mut *locked(&self.0.under_way));
        let mut end = Ok(());
        for work in under_way {
            let worked = work.await.expect("what boots machines does not panic");
            end = end.and(worked);
        }
        end
    }

    /// Ends what is under way, in order. More may be asked for after that, as a plan may be made anew.
    pub(super) async fn abandon(&self) {
        std::mem::take(&mut *locked(&self.0.stop)).cancel();
        // Why it did not come to a good end is known.
        drop(self.finish().await);
    }
}

impl Inner {
    /// Returns what is wished for, once no more comes.
    async fn gathered(&self) -> Vec<Wish> {
        let mut before = 0;
        loop {
            sleep(self.gather).await;
            let mut waiting = locked(&self.waiting);
            if waiting.len() == before {
                return std::mem::take(&mut *waiting);
            }
            before = waiting.len();
        }
    }

    async fn boot(&self, mut wishes: Vec<Wish>, stop: &Stop) -> End {
        // They came in any order, and people read the command.
        wishes.sort_by(|one, other| one.node.cmp(&other.node));
        let nodes: Vec<NodeName> = wishes.iter().map(|wish| wish.node.clone()).collect();
        let up = self.vagrant.up(&nodes, |news| hear(&mut wishes, news));
        let Some(end) = stop.run_until_cancelled(up).await else { return Ok(()) };
        let end = end.map_err(Arc::new);
        let mut unheard = false;
        for done in wishes.iter_mut().filter_map(|wish| wish.done.take()) {
            unheard |= done.send(end.clone()).is_err();
        }
        if unheard { end } else { Ok(()) }
    }
}

fn hear(wishes: &mut [Wish], news: &News) {
    let about = |wish: &&mut Wish| Some(wish.node.as_str()) == news.machine.as_deref();
    let Some(wish) = wishes.iter_mut().find(about) else { return };
    match &news.what {
        What::Said { text } | What::Complained { text } => (wish.tell)(first_line(text)),
        What::Ended { action } if action == "up" => {
            // Whoever does not wait any more knows already.
            wish.done.take().map(|done| done.send(Ok(())));
        }
        _ => {}
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use camino::{Utf8Path, Utf8PathBuf};

    use super::*;
    use crate::fs;
    use crate::model::LabName;
    use crate::vagrant::Folder;

    /// A crew whose keeper is a script that says what Vagrant would, of the nodes that it is called with.
    struct Yard {
        dir: tempfile::TempDir,
        crew: Crew,
    }

    const WELL: &str = "for node; do echo \"1,$node,action,up,end\"; done";
    const FAILS: &str = "echo '1,core-01,action,up,end'; echo '2,,error-exit,X,no'; exit 1";
    const HANGS: &str = "exec sleep 60";

    impl Yard {
        fn new(kind: Kind, script: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let top = Utf8Path::from_path(dir.path()).unwrap();
            let keeper = top.join("keeper");
            let before = "#!/bin/sh\necho \"$@\" >> \"$0.asked\"\nwhile [ \"$1\" != --machine-readable ]; do shift; done\nshift\n";
            fs::write(&keeper, format!("{before}{script}\n"), fs::Access::Public).unwrap();
            std::fs::set_permissions(&keeper, std::fs::Permissions::from_mode(0o755)).unwrap();
            let folder = Folder::of(top, &LabName::parse("web").unwrap());
            Self { dir, crew: Crew::new(Vagrant::new(folder, keeper), kind) }
        }

        fn up(&self, node: &str) -> oneshot::Receiver<End> {
            self.crew.up(&NodeName::parse(node).unwrap(), |_| {})
        }

        fn calls(&self) -> usize {
            let path = Utf8PathBuf::from_path_buf(self.dir.path().join("keeper.asked")).unwrap();
            fs::read_if_present(&path).unwrap().unwrap_or_default().lines().count()
        }
    }

    #[tokio::test]
    async fn one_vagrant_boots_all_where_it_works_on_several_at_once() {
        for (kind, calls) in [(Kind::Docker, 1), (Kind::Libvirt, 1), (Kind::VirtualBox, 2)] {
            let yard = Yard::new(kind, WELL);
            let (one, two) = tokio::join!(yard.up("core-01"), yard.up("core-02"));
            assert!(one.unwrap().is_ok() && two.unwrap().is_ok());
            assert!(yard.crew.finish().await.is_ok());
            assert_eq!(yard.calls(), calls, "{kind}");
        }
    }

    #[tokio::test]
    async fn whoever_came_up_is_told_so_though_another_did_not() {
        let yard = Yard::new(Kind::Docker, FAILS);
        let (one, two) = tokio::join!(yard.up("core-01"), yard.up("core-02"));
        assert!(one.unwrap().is_ok());
        assert!(two.unwrap().is_err());
        assert!(yard.crew.finish().await.is_ok(), "it was heard");
    }

    #[tokio::test]
    async fn a_failure_that_nobody_waits_for_is_told_at_the_end() {
        let yard = Yard::new(Kind::Docker, FAILS);
        drop(yard.up("core-02"));
        assert!(yard.crew.finish().await.is_err());
    }

    #[tokio::test]
    async fn what_is_begun_after_an_end_is_not_ended_with_it() {
        let yard = Yard::new(Kind::Docker, HANGS);
        let first = yard.up("core-01");
        yard.crew.abandon().await;
        assert!(first.await.is_err(), "nobody boots it any more");
        let well = Yard::new(Kind::Docker, WELL);
        well.crew.abandon().await;
        assert!(well.up("core-01").await.unwrap().is_ok());
    }
}
