//! Changes of units, as systemd tells them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use zbus::message::Message;

use super::bus::{Bus, MANAGER, PATH, PROPERTIES, body};
use super::error::Error;
use super::job::{JOB_REMOVED, JobRemoved};

const UNITS: &str = "/org/freedesktop/systemd1/unit";

/// The names of units that changed. One that changes often between two questions is named once, so whoever
/// is slow finds no more names here than there are units.
#[derive(Debug)]
pub struct UnitChanges {
    names: Arc<Mutex<Names>>,
    bell: watch::Receiver<()>,
    _reader: AbortOnDropHandle<()>,
}

impl UnitChanges {
    /// Jobs are heard because a unit that was not loaded before may be started without a change of its
    /// properties. That units are loaded and forgotten is not heard, as a question about a unit does both: who
    /// asks about each unit that is named would never come to an end.
    pub(super) async fn listen(bus: &Bus) -> Result<Self, Error> {
        let signals = stream::select_all([
            bus.listen(PROPERTIES, "PropertiesChanged", |rule| rule.path_namespace(UNITS)).await?,
            bus.listen(MANAGER, JOB_REMOVED, |rule| rule.path(PATH)).await?,
        ]);
        let names = Arc::default();
        let (ringer, bell) = watch::channel(());
        let reading = read(signals, Arc::clone(&names), ringer);
        Ok(Self { names, bell, _reader: AbortOnDropHandle::new(tokio::spawn(reading)) })
    }

    /// Returns the name of a unit whose properties changed, or a job of which ended. How the unit is now has
    /// to be asked; it may have changed more than once. Nothing is lost if this is dropped early.
    /// What a reload finds in unit files is not told.
    ///
    /// Fails when the bus is lost, and from then on always: the caller watches anew and then asks how all
    /// units are.
    pub async fn next(&mut self) -> Result<String, Error> {
        loop {
            if let Some(name) = lock(&self.names).pop_front() {
                return Ok(name);
            }
            // The bell rings after a name was added, and breaks when the reader has ended.
            self.bell.changed().await.map_err(|_| Error::WatchLost)?;
        }
    }
}

/// Reads without a pause, whatever the one who asks for names does meanwhile.
async fn read(
    mut signals: impl Stream<Item = zbus::Result<Message>> + Unpin,
    names: Arc<Mutex<Names>>,
    ringer: watch::Sender<()>,
) {
    while let Some(Ok(signal)) = signals.next().await {
        if let Some(name) = unit_of(&signal) {
            add(&mut lock(&names), name);
            ringer.send_replace(());
        }
    }
}

type Names = VecDeque<String>;

fn lock(names: &Mutex<Names>) -> MutexGuard<'_, Names> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(names: &mut Names, name: String) {
    if !names.contains(&name) {
        names.push_back(name);
    }
}

/// Returns the unit that a signal is about.
fn unit_of(signal: &Message) -> Option<String> {
    let header = signal.header();
    if header.member()?.as_str() == "PropertiesChanged" {
        return unescape_path(header.path()?.as_str());
    }
    let (_, _, name, _): JobRemoved = body(JOB_REMOVED, signal).ok()?;
    Some(name)
}

/// Returns the name of the unit that an object stands for. In the path, systemd writes each byte that is
/// neither a letter nor a digit, and a digit at the beginning, as `_` and two hexadecimal digits.
fn unescape_path(path: &str) -> Option<String> {
    let mut rest = path.strip_prefix(UNITS)?.strip_prefix('/')?.as_bytes();
    let mut name = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let escaped = after.split_at_checked(2).filter(|_| *first == b'_');
        let unescaped = escaped.and_then(|(digits, after)| Some((byte(digits)?, after)));
        let (byte, after) = unescaped.unwrap_or((*first, after));
        name.push(byte);
        rest = after;
    }
    String::from_utf8(name).ok().filter(|name| !name.is_empty())
}

fn byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(digits[at]).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use zbus::OwnedObjectPath;

    use super::*;

    #[track_caller]
    fn check(label: &str, want: Option<&str>) {
        assert_eq!(unescape_path(&format!("{UNITS}/{label}")).as_deref(), want, "{label}");
    }

    #[test]
    fn a_path_names_a_unit() {
        check("docker_2eservice", Some("docker.service"));
        check("lab_2detcd_2eservice", Some("lab-etcd.service"));
        check("web_401_2eservice", Some("web@1.service"));
        check("_31_2eservice", Some("1.service"));
        check("snake_5fcase_2eservice", Some("snake_case.service"));
        check("_2d_2emount", Some("-.mount"));
        check("dev_2ddisk_2dby_5cx2did_2edevice", Some(r"dev-disk-by\x2did.device"));
        check("upper_2Dcase", Some("upper-case"));
    }

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        check("a_", Some("a_"));
        check("a_2", Some("a_2"));
        check("a_zz", Some("a_zz"));
        check("_", Some("_"));
        check("_+1", Some("_+1"));
    }

    #[test]
    fn other_paths_name_none() {
        check("", None);
        check("_ff", None);
        for path in ["/org/freedesktop/systemd1", UNITS, "/org/freedesktop/systemd1/unitx/a", "/a"] {
            assert_eq!(unescape_path(path), None, "{path}");
        }
    }

    #[test]
    fn a_signal_is_about_a_unit() {
        let path = format!("{UNITS}/a_2eservice");
        let job = OwnedObjectPath::try_from(format!("{PATH}/job/7")).unwrap();
        let changed = Message::signal(path.as_str(), PROPERTIES, "PropertiesChanged");
        let ended = Message::signal(PATH, MANAGER, JOB_REMOVED);
        let wrong = Message::signal(PATH, MANAGER, JOB_REMOVED);
        let ended = ended.build(&(7_u32, job, "b.service", "done")).unwrap();
        assert_eq!(unit_of(&changed.build(&()).unwrap()).as_deref(), Some("a.service"));
        assert_eq!(unit_of(&ended).as_deref(), Some("b.service"));
        assert_eq!(unit_of(&wrong.build(&(1_u32,)).unwrap()), None);
    }

    #[tokio::test]
    async fn names_wait_once_each_and_the_end_comes_after_them() {
        let signal = |name: &str| {
            let path = format!("{UNITS}/{name}");
            Message::signal(path, PROPERTIES, "PropertiesChanged").build(&())
        };
        let heard = stream::iter([signal("a"), signal("b"), signal("a"), Err(zbus::Error::InvalidField)]);
        let names = Arc::default();
        let (ringer, bell) = watch::channel(());
        read(heard, Arc::clone(&names), ringer).await;
        let ended = AbortOnDropHandle::new(tokio::spawn(async {}));
        let mut changes = UnitChanges { names, bell, _reader: ended };
        assert_eq!(changes.next().await.unwrap(), "a");
        assert_eq!(changes.next().await.unwrap(), "b");
        for _ in 0..2 {
            assert!(matches!(changes.next().await, Err(Error::WatchLost)));
        }
    }
}
