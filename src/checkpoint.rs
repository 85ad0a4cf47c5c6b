//! Named places at which a test may kill this process, to prove that the next run repairs what is left.

/// Every moment of `up` and `down` after which a crash leaves something new behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    Locked,
    KeysWritten,
    NetworkMade,
    ImageReady,
    /// An image of the lab is in the store.
    ImageMade,
    LayersShared,
    NodeCreated,
    NodeStarted,
    NodeReady,
    /// A node has all images that it is to have.
    ImagesLoaded,
    MemberRemoved,
    NodeRemoved,
    VolumesRemoved,
    NetworkRemoved,
    StateWritten,
    /// New units of a level are in the hands of fleet, and nobody has waited for them.
    UnitsSubmitted,
    /// A unit that ran was given another file, and nobody has waited for it.
    UnitReplaced,
}

impl Checkpoint {
    pub const ALL: [Self; 17] = [
        Self::Locked,
        Self::KeysWritten,
        Self::NetworkMade,
        Self::ImageReady,
        Self::ImageMade,
        Self::LayersShared,
        Self::NodeCreated,
        Self::NodeStarted,
        Self::NodeReady,
        Self::ImagesLoaded,
        Self::MemberRemoved,
        Self::NodeRemoved,
        Self::VolumesRemoved,
        Self::NetworkRemoved,
        Self::StateWritten,
        Self::UnitsSubmitted,
        Self::UnitReplaced,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::KeysWritten => "keys-written",
            Self::NetworkMade => "network-made",
            Self::ImageReady => "image-ready",
            Self::ImageMade => "image-made",
            Self::LayersShared => "layers-shared",
            Self::ImagesLoaded => "images-loaded",
            Self::NodeCreated => "node-created",
            Self::NodeStarted => "node-started",
            Self::NodeReady => "node-ready",
            Self::MemberRemoved => "member-removed",
            Self::NodeRemoved => "node-removed",
            Self::VolumesRemoved => "volumes-removed",
            Self::NetworkRemoved => "network-removed",
            Self::StateWritten => "state-written",
            Self::UnitsSubmitted => "units-submitted",
            Self::UnitReplaced => "unit-replaced",
        }
    }

    /// Dies here, as by SIGKILL, if `LAB_TEST_KILL_AT` names this checkpoint.
    #[expect(clippy::disallowed_methods, reason = "a hook of the tests, not a setting")]
    pub fn reached(self) {
        if std::env::var("LAB_TEST_KILL_AT").is_ok_and(|name| name == self.name()) {
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::KILL)
                .expect("a process may always kill itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names = Checkpoint::ALL.map(Checkpoint::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
