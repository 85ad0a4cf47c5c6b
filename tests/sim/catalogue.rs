//! The units that are played with: one of each kind of demand.

use lab::fleet::unit::UnitName;

struct Kind {
    name: &'static str,
    demands: &'static str,
    /// What it demands when its content is replaced by one with an odd number.
    odd: &'static str,
}

const fn kind(name: &'static str, demands: &'static str) -> Kind {
    Kind { name, demands, odd: demands }
}

const CATALOGUE: [Kind; KINDS] = [
    kind("a0.service", ""),
    kind("a1.service", ""),
    kind("a2.service", "[X-Lab]\nFence=true\n"),
    kind("a3.service", "[X-Lab]\nFence=false\n"),
    kind("a4.service", "[X-Lab]\nWeight=3\n"),
    kind("c1.service", "[X-Fleet]\nConflicts=c*.service\n"),
    kind("c2.service", "[X-Fleet]\nConflicts=c*.service\n"),
    kind("c3.service", "[X-Fleet]\nConflicts=c*.service\n[X-Lab]\nFence=true\n"),
    kind("g0.service", "[X-Fleet]\nGlobal=true\n"),
    kind("g1.service", "[X-Fleet]\nGlobal=true\nMachineMetadata=zone=a\n"),
    kind("g2.service", "[X-Fleet]\nGlobal=true\nConflicts=m1.service\n"),
    Kind {
        name: "m0.service",
        demands: "[X-Fleet]\nMachineMetadata=zone=a\n",
        odd: "[X-Fleet]\nMachineMetadata=zone=b\n",
    },
    kind("m1.service", "[X-Fleet]\nMachineMetadata=zone=b\n"),
    kind("p0.service", "[X-Fleet]\nMachineOf=a0.service\n"),
    kind("p1.service", "[X-Fleet]\nMachineID=n2\n"),
];
pub const KINDS: usize = 15;

pub fn name(unit: usize) -> UnitName {
    UnitName::parse(CATALOGUE[unit].name).expect("the catalogue has good names")
}

/// Returns the text of a unit's file, the more often it was replaced the higher its number.
pub fn text(unit: usize, number: u64) -> String {
    let kind = &CATALOGUE[unit];
    let demands = if number % 2 == 1 { kind.odd } else { kind.demands };
    format!("[Service]\nExecStart=/bin/run {number}\n{demands}")
}

fn demands(name: &UnitName) -> &'static str {
    CATALOGUE.iter().find(|kind| kind.name == name.as_str()).map_or("", |kind| kind.demands)
}

pub fn is_global(name: &UnitName) -> bool {
    demands(name).contains("Global=true")
}

/// Returns what a unit says of being fenced.
pub fn fence(name: &UnitName) -> Option<bool> {
    match demands(name) {
        demands if demands.contains("Fence=true") => Some(true),
        demands if demands.contains("Fence=false") => Some(false),
        _ => None,
    }
}
