//! What can go wrong between us and systemd.

use std::time::Duration;

use zbus::DBusError;

/// The unit is not loaded, or there is no file that it could be loaded from.
pub(super) const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
/// The unit has nothing to send a signal to.
pub(super) const NO_SUCH_PROCESS: &str = "org.freedesktop.systemd1.NoSuchProcess";
/// The unit is of a kind that never has processes, such as a target.
pub(super) const NOT_SUPPORTED: &str = "org.freedesktop.DBus.Error.NotSupported";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not reach the system bus")]
    Connect { source: zbus::Error },
    #[error("systemd refused `{method}`")]
    Call { method: &'static str, source: zbus::Error },
    #[error("systemd did not answer `{method}` within {} s", limit.as_secs())]
    TimedOut { method: &'static str, limit: Duration },
    #[error("the job of `{unit}` ended as `{result}`")]
    Job { unit: String, result: String },
    #[error("the bus went away before the job of `{unit}` ended")]
    JobLost { unit: String },
    #[error("the bus went away while units were watched")]
    WatchLost,
}

impl Error {
    /// Returns what to do about it, where the cause tells.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Job { unit, .. } => Some(format!("see why on the node: `journalctl -u {unit}`")),
            _ => None,
        }
    }

    fn is_refusal(&self, names: &[&str]) -> bool {
        let Self::Call { source, .. } = self else {
            return false;
        };
        match source {
            zbus::Error::MethodError(name, ..) => names.contains(&name.as_str()),
            // The library keeps the errors of D-Bus itself apart from those of a service.
            zbus::Error::FDO(error) => names.contains(&error.name().as_str()),
            _ => false,
        }
    }
}

/// Returns nothing instead of an error if systemd refused for one of these reasons: where something is to
/// be gone, it is no failure that it is.
pub(super) fn unless<T>(names: &[&str], outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_refusal(names) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use zbus::message::Message;

    use super::*;

    fn refused(name: &str) -> Error {
        let call = Message::method_call("/", "StopUnit").build(&()).unwrap();
        let reply = Message::error(&call.header(), name).build(&("no",)).unwrap();
        Error::Call { method: "StopUnit", source: reply.into() }
    }

    #[test]
    fn only_the_named_reasons_are_no_failure() {
        for (name, want) in [
            (NO_SUCH_UNIT, Some(())),
            (NOT_SUPPORTED, Some(())),
            (NO_SUCH_PROCESS, None),
            ("org.freedesktop.DBus.Error.AccessDenied", None),
        ] {
            let outcome = unless::<()>(&[NO_SUCH_UNIT, NOT_SUPPORTED], Err(refused(name)));
            assert_eq!(outcome.ok().map(|gone| assert_eq!(gone, None)), want, "{name}");
        }
        assert_eq!(unless(&[NO_SUCH_UNIT], Ok(1)).unwrap(), Some(1));
        assert!(unless::<()>(&[NO_SUCH_UNIT], Err(Error::WatchLost)).is_err());
    }
}
