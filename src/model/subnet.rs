//! The lab's own network: which /24 it takes and who has which address in it.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv4 network, written `10.77.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    base: Ipv4Addr,
    length: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a network: {reason}")]
pub struct BadSubnet {
    text: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no free network was found: {} and all that could follow overlap others that are in use", first.map(|net| net.to_string()).unwrap_or_default())]
pub struct NoFreeSubnet {
    first: Option<Subnet>,
}

impl Subnet {
    pub fn new(base: Ipv4Addr, length: u8) -> Result<Self, BadSubnet> {
        let bad = |reason| BadSubnet { text: format!("{base}/{length}"), reason };
        if length > 32 {
            return Err(bad("the length is between 0 and 32"));
        }
        let subnet = Self { base, length };
        if u32::from(base) & !subnet.mask() != 0 {
            return Err(bad("bits are set to the right of its length"));
        }
        Ok(subnet)
    }

    pub fn length(self) -> u8 {
        self.length
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0)
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.base)
    }

    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }

    /// Returns whether this is the default route, which overlaps everything and says nothing.
    pub fn is_everything(self) -> bool {
        self.length == 0
    }

    /// Returns the host's own address on the lab's bridge.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// Returns the address of the node at `index`, counted from 1: `.11` for the first.
    pub fn address(self, index: u16) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 10 + u32::from(index))
    }

    /// Checks that a lab fits: private, and a /24, as addresses of nodes are counted in its last byte.
    pub fn check_for_lab(self) -> Result<Self, BadSubnet> {
        let bad = |reason| BadSubnet { text: self.to_string(), reason };
        if self.length != 24 {
            return Err(bad("a lab takes a /24"));
        }
        if !self.base.is_private() {
            return Err(bad("a lab takes a private network, such as 10.77.0.0/24"));
        }
        Ok(self)
    }

    /// Chooses the first of the lab networks that overlaps none of `taken`.
    pub fn choose(taken: &[Self]) -> Result<Self, NoFreeSubnet> {
        Self::choose_among(Self::usual(), taken)
    }

    /// Chooses the first of these networks that overlaps none of `taken`.
    pub fn choose_among(
        networks: impl IntoIterator<Item = Self>,
        taken: &[Self],
    ) -> Result<Self, NoFreeSubnet> {
        let mut networks = networks.into_iter().peekable();
        let first = networks.peek().copied();
        let is_free =
            |subnet: &Self| !taken.iter().any(|other| !other.is_everything() && subnet.overlaps(*other));
        networks.find(is_free).ok_or(NoFreeSubnet { first })
    }

    fn usual() -> impl Iterator<Item = Self> {
        (0..=255).map(|third| Self { base: Ipv4Addr::new(10, 77, third, 0), length: 24 })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.length)
    }
}

impl FromStr for Subnet {
    type Err = BadSubnet;

    fn from_str(text: &str) -> Result<Self, BadSubnet> {
        let bad = |reason| BadSubnet { text: text.to_owned(), reason };
        let (base, length) = text.split_once('/').ok_or(bad("it is written like 10.77.0.0/24"))?;
        let base = base.parse().map_err(|_| bad("its address is not IPv4"))?;
        let length = length.parse().map_err(|_| bad("its length is not a number"))?;
        Self::new(base, length)
    }
}

impl TryFrom<String> for Subnet {
    type Error = BadSubnet;

    fn try_from(text: String) -> Result<Self, BadSubnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn bad_networks_are_refused_with_the_reason() {
        for (text, reason) in [
            ("10.77.0.0", "written like"),
            ("10.77.0.1/24", "bits are set"),
            ("10.77.0.0/33", "between 0 and 32"),
            ("10.77.0/24", "not IPv4"),
            ("fd00::/64", "not IPv4"),
            ("10.77.0.0/x", "not a number"),
        ] {
            let error = text.parse::<Subnet>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(net("8.8.8.0/24").check_for_lab().is_err());
        assert!(net("10.0.0.0/8").check_for_lab().is_err());
        assert!(net("192.168.56.0/24").check_for_lab().is_ok());
    }

    #[test]
    fn the_first_free_network_is_chosen() {
        assert_eq!(Subnet::choose(&[]), Ok(net("10.77.0.0/24")));
        assert_eq!(Subnet::choose(&[net("10.77.0.0/24"), net("10.77.2.0/24")]), Ok(net("10.77.1.0/24")));
        assert_eq!(Subnet::choose(&[net("0.0.0.0/0")]), Ok(net("10.77.0.0/24")));
        assert_eq!(Subnet::choose(&[net("10.77.0.0/17")]), Ok(net("10.77.128.0/24")));
        assert_eq!(
            Subnet::choose(&[net("10.0.0.0/8")]),
            Err(NoFreeSubnet { first: Some(net("10.77.0.0/24")) })
        );
    }

    proptest! {
        #[test]
        fn a_chosen_network_overlaps_nothing_taken(taken in prop::collection::vec((any::<u32>(), 1u8..=32), 0..40)) {
            let taken: Vec<Subnet> = taken
                .into_iter()
                .map(|(bits, length)| {
                    let base = (0x0a4d_0000 | bits & 0xffff) & (u32::MAX << (32 - u32::from(length)));
                    Subnet::new(Ipv4Addr::from(base), length).unwrap()
                })
                .collect();
            if let Ok(chosen) = Subnet::choose(&taken) {
                prop_assert!(taken.iter().all(|other| !chosen.overlaps(*other)));
                prop_assert_eq!(chosen.to_string().parse::<Subnet>().unwrap(), chosen);
            }
        }
    }
}
