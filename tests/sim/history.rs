//! What happens in one run: a list of steps with their times, made from a seed.

use std::fmt;

use lab::fleet::records::{Phase, Scheduling};

use crate::random::Random;

/// Everything that one run is made of. Steps can be taken out and the rest still makes sense.
#[derive(Debug, Clone)]
pub struct History {
    pub seed: u64,
    pub nodes: usize,
    /// Whether units are fenced that do not say themselves.
    pub is_fenced: bool,
    /// How long a message takes at most in quiet times.
    pub latency_ms: u64,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub at_ms: u64,
    pub what: Action,
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing arrives and nothing is refused; watches go on afterwards.
    Silent,
    /// Nothing arrives; when it is over, what was asked meanwhile is carried out late.
    Late,
    /// Everything is refused at once and watches end.
    Refusing,
}

/// Units by their index in [`crate::catalogue`], nodes by their index.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Create {
        unit: usize,
        desired: Phase,
    },
    Want {
        unit: usize,
        desired: Phase,
    },
    /// Stops and starts it at once, so that a machine may see only the end of it.
    Restart {
        unit: usize,
    },
    Replace {
        unit: usize,
    },
    Destroy {
        unit: usize,
    },
    Wish {
        unit: usize,
        node: usize,
    },
    Zone {
        node: usize,
        zone: &'static str,
    },
    Schedule {
        node: usize,
        scheduling: Scheduling,
    },
    CrashDaemon {
        node: usize,
        for_ms: u64,
    },
    /// The machine loses power; without a duration it stays dead.
    CrashNode {
        node: usize,
        for_ms: Option<u64>,
    },
    Cut {
        node: usize,
        how: Cut,
        for_ms: u64,
    },
    NoQuorum {
        for_ms: u64,
    },
    Slow {
        node: usize,
        answer_ms: u64,
        news_ms: u64,
        for_ms: u64,
    },
    /// Watches tell again what they told.
    Repeat {
        node: usize,
        for_ms: u64,
    },
    EndWatches {
        node: usize,
    },
    /// The watches that are open now tell nothing any more, without an error.
    Deafen {
        node: usize,
    },
    Revoke {
        node: usize,
    },
    SlowDisk {
        node: usize,
        load_ms: u64,
        stop_ms: u64,
        for_ms: u64,
    },
    Freeze {
        node: usize,
        for_ms: u64,
    },
    Compact,
}

impl Action {
    pub fn lasts_ms(&self) -> u64 {
        match *self {
            Self::CrashDaemon { for_ms, .. }
            | Self::Cut { for_ms, .. }
            | Self::NoQuorum { for_ms }
            | Self::Slow { for_ms, .. }
            | Self::Repeat { for_ms, .. }
            | Self::SlowDisk { for_ms, .. }
            | Self::Freeze { for_ms, .. } => for_ms,
            Self::CrashNode { for_ms, .. } => for_ms.unwrap_or(0),
            _ => 0,
        }
    }
}

impl Action {
    /// Returns the node that it happens to.
    pub fn node(&self) -> Option<usize> {
        match *self {
            Self::CrashDaemon { node, .. }
            | Self::CrashNode { node, .. }
            | Self::Cut { node, .. }
            | Self::Slow { node, .. }
            | Self::Repeat { node, .. }
            | Self::EndWatches { node }
            | Self::Deafen { node }
            | Self::SlowDisk { node, .. }
            | Self::Freeze { node, .. } => Some(node),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.at_ms / 1000, self.at_ms % 1000);
        write!(f, "{seconds:>3}.{millis:03} {:?}", self.what)
    }
}

impl History {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let nodes = random.pick(&[3, 3, 4, 5]);
        let mut maker = Maker { units: random.between(5, crate::catalogue::KINDS as u64), nodes, random };
        let mut steps = maker.beginning();
        let length = maker.random.between(8_000, 30_000);
        steps.extend(maker.work(length));
        steps.extend(maker.faults(length));
        steps.sort_by_key(|step| step.at_ms);
        let is_fenced = maker.random.once_in(2);
        Self { seed, nodes, is_fenced, latency_ms: maker.random.pick(&[0, 0, 3, 20]), steps }
    }

    /// Returns when the last step is over.
    pub fn ends_ms(&self) -> u64 {
        self.steps.iter().map(|step| step.at_ms + step.what.lasts_ms()).max().unwrap_or(0) + 500
    }
}

struct Maker {
    random: Random,
    units: u64,
    nodes: usize,
}

const ZONES: [&str; 2] = ["a", "b"];

impl Maker {
    fn unit(&mut self) -> usize {
        self.random.index(crate::catalogue::KINDS)
    }

    fn node(&mut self) -> usize {
        self.random.index(self.nodes)
    }

    fn desired(&mut self) -> Phase {
        self.random.pick(&[Phase::Launched, Phase::Launched, Phase::Launched, Phase::Loaded, Phase::Inactive])
    }

    fn beginning(&mut self) -> Vec<Step> {
        let create = |maker: &mut Self| {
            let (unit, desired) =
                (maker.unit(), maker.random.pick(&[Phase::Launched, Phase::Launched, Phase::Loaded]));
            Step { at_ms: maker.random.below(4000), what: Action::Create { unit, desired } }
        };
        (0..self.units).map(|_| create(self)).collect()
    }

    fn work(&mut self, length: u64) -> Vec<Step> {
        let count = self.random.between(2, 14);
        let step = |maker: &mut Self| {
            let at_ms = 3000 + maker.random.below(length);
            Step { at_ms, what: maker.operation() }
        };
        (0..count).map(|_| step(self)).collect()
    }

    fn operation(&mut self) -> Action {
        let (unit, node, desired) = (self.unit(), self.node(), self.desired());
        match self.random.below(16) {
            0..=2 => Action::Create { unit, desired },
            3..=6 => Action::Want { unit, desired },
            7 | 8 => Action::Restart { unit },
            9 | 10 => Action::Replace { unit },
            11 => Action::Destroy { unit },
            12 => Action::Wish { unit, node },
            13 | 14 => Action::Zone { node, zone: self.random.pick(&ZONES) },
            _ => {
                let kinds = [Scheduling::Open, Scheduling::Cordoned, Scheduling::Drained];
                Action::Schedule { node, scheduling: self.random.pick(&kinds) }
            }
        }
    }

    fn faults(&mut self, length: u64) -> Vec<Step> {
        let count = self.random.between(0, 7);
        let mut steps = Vec::new();
        for _ in 0..count {
            let at_ms = 2000 + self.random.below(length);
            let what = self.fault();
            // Trouble seldom comes alone: sometimes it hits a second node, or another kind follows at once.
            if self.random.once_in(4) {
                let what = self.fault();
                steps.push(Step { at_ms: at_ms + self.random.below(2000), what });
            }
            steps.push(Step { at_ms, what });
        }
        steps
    }

    fn fault(&mut self) -> Action {
        let node = self.node();
        let random = &mut self.random;
        let short_or_long = |random: &mut Random| match random.below(3) {
            0 => random.between(100, 2500),
            1 => random.between(2500, 5000),
            _ => random.between(5000, 15_000),
        };
        let for_ms = short_or_long(random);
        match random.below(20) {
            0 | 1 => Action::CrashDaemon { node, for_ms: random.between(100, 500) },
            2 => Action::CrashNode { node, for_ms: Some(for_ms) },
            3 => Action::CrashNode { node, for_ms: None },
            4..=7 => {
                let how = random.pick(&[Cut::Silent, Cut::Late, Cut::Refusing]);
                Action::Cut { node, how, for_ms }
            }
            8 | 9 => Action::NoQuorum { for_ms },
            10 | 11 => {
                let (answer_ms, news_ms) = (random.between(0, 400), random.between(0, 900));
                Action::Slow { node, answer_ms, news_ms, for_ms }
            }
            12 => Action::Repeat { node, for_ms },
            13 => Action::EndWatches { node },
            14 => Action::Deafen { node },
            15 => Action::Revoke { node },
            16 | 17 => {
                let (load_ms, stop_ms) = (random.between(0, 1500), random.between(0, 3000));
                Action::SlowDisk { node, load_ms, stop_ms, for_ms }
            }
            18 => Action::Freeze { node, for_ms },
            _ => Action::Compact,
        }
    }
}
