//! The part of `lab.toml` that is about virtual machines, and the boxes that they are made of by default.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who runs machines that Vagrant makes, by Vagrant's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VagrantProvider {
    VirtualBox,
    Libvirt,
    Docker,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of `virtualbox`, `libvirt` and `docker`")]
pub struct UnknownVagrantProvider(String);

impl VagrantProvider {
    pub const ALL: [Self; 3] = [Self::VirtualBox, Self::Libvirt, Self::Docker];

    pub fn name(self) -> &'static str {
        match self {
            Self::VirtualBox => "virtualbox",
            Self::Libvirt => "libvirt",
            Self::Docker => "docker",
        }
    }
}

impl fmt::Display for VagrantProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for VagrantProvider {
    type Err = UnknownVagrantProvider;

    fn from_str(text: &str) -> Result<Self, UnknownVagrantProvider> {
        let found = Self::ALL.into_iter().find(|provider| provider.name() == text);
        found.ok_or_else(|| UnknownVagrantProvider(text.to_owned()))
    }
}

/// A box in Vagrant's sense: what machines are copies of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxRef {
    pub name: String,
    pub version: Option<String>,
    /// Where it is fetched from, if not from the public catalogue.
    pub url: Option<String>,
}

/// The boxes that come by a short name. Their versions are pinned here and nowhere else.
pub const DEFAULT_BOX: &str = "debian";
const BOXES: [(&str, &str, &str, Option<&str>); 2] = [
    (DEFAULT_BOX, "debian/bookworm64", "12.20250126.1", None),
    (
        "flatcar",
        "flatcar-stable",
        "4230.2.3",
        Some("https://stable.release.flatcar-linux.net/amd64-usr/4230.2.3/flatcar_production_vagrant.json"),
    ),
];

impl BoxRef {
    /// Returns the box that is meant by a short name, or by one of the public catalogue.
    pub fn named(name: &str) -> Self {
        match BOXES.iter().find(|(short, ..)| *short == name) {
            Some((_, name, version, url)) => Self {
                name: (*name).to_owned(),
                version: Some((*version).to_owned()),
                url: url.map(str::to_owned),
            },
            None => Self { name: name.to_owned(), version: None, url: None },
        }
    }

    /// Returns whether its system is one that is set up by Ignition, and read-only.
    pub fn wants_ignition(&self) -> bool {
        let name = self.name.to_lowercase();
        ["flatcar", "coreos"].iter().any(|system| name.contains(system))
    }
}

/// Virtual machines, or containers, that Vagrant makes.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct VagrantTable {
    /// Who runs the machines. Default: `virtualbox`.
    #[schemars(with = "String", extend("enum" = ["virtualbox", "libvirt", "docker"], "default" = "virtualbox"))]
    pub provider: Option<VagrantProvider>,
    /// The box that machines are copies of: `debian`, `flatcar`, one of the public catalogue, or one that
    /// `lab box build` made.
    #[schemars(rename = "box", with = "String", extend("default" = DEFAULT_BOX))]
    pub base: Option<String>,
    /// The version of the box. Default: the pinned one of `debian` and `flatcar`, else the newest that is here.
    #[schemars(with = "String", extend("examples" = ["12.20250126.1"]))]
    pub box_version: Option<String>,
    /// Where the box is fetched from, if not from the public catalogue: an address, or a file.
    #[schemars(with = "String", extend("examples" = ["/srv/boxes/node.box"]))]
    pub box_url: Option<String>,
    /// How libvirt runs machines: `kvm`, or `qemu` for software emulation. Default: `kvm` where it can be used.
    #[schemars(with = "String", extend("enum" = ["kvm", "qemu"]))]
    pub driver: Option<Driver>,
    /// How many seconds a machine may take to boot.
    #[schemars(with = "u32", range(min = 10, max = 3600), extend("default" = DEFAULT_BOOT_TIMEOUT))]
    pub boot_timeout: Option<u32>,
    /// Whether the console of each machine is written to a file.
    #[schemars(with = "bool", extend("default" = false))]
    pub serial_log: Option<bool>,
}

pub const DEFAULT_BOOT_TIMEOUT: u32 = 300;

/// How libvirt runs machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    Kvm,
    Qemu,
}

/// What holds of virtual machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VagrantSettings {
    /// `None` if nobody said it: a lab that exists keeps its own.
    pub provider: Option<VagrantProvider>,
    pub base: BoxRef,
    pub driver: Option<Driver>,
    pub boot_timeout: u32,
    pub has_serial_log: bool,
}

impl VagrantSettings {
    pub(super) fn resolve(flag: Option<VagrantProvider>, table: VagrantTable) -> Self {
        let named = BoxRef::named(table.base.as_deref().unwrap_or(DEFAULT_BOX));
        let is_placed = table.box_url.is_some();
        let base = BoxRef {
            // A file has no version that could be asked for.
            version: table.box_version.or(named.version.filter(|_| !is_placed)),
            url: table.box_url.or(named.url),
            name: named.name,
        };
        Self {
            provider: flag.or(table.provider),
            base,
            driver: table.driver,
            boot_timeout: table.boot_timeout.unwrap_or(DEFAULT_BOOT_TIMEOUT),
            has_serial_log: table.serial_log.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(table: VagrantTable) -> BoxRef {
        VagrantSettings::resolve(None, table).base
    }

    #[test]
    fn a_short_name_stands_for_a_pinned_box() {
        let table = VagrantTable::default;
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(resolved(table()), BoxRef::named("debian"));
        assert!(BoxRef::named("debian").version.is_some());
        let flatcar = resolved(VagrantTable { base: text("flatcar"), ..table() });
        assert!(flatcar.wants_ignition() && flatcar.url.is_some());
        let own = resolved(VagrantTable { base: text("me/box"), box_version: text("2"), ..table() });
        assert_eq!(own, BoxRef { name: "me/box".to_owned(), version: text("2"), url: None });
        let file = resolved(VagrantTable { box_url: text("/x.box"), ..table() });
        assert_eq!((file.version, file.url), (None, text("/x.box")));
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let table = || VagrantTable { provider: Some(VagrantProvider::Libvirt), ..VagrantTable::default() };
        let resolved = |flag| VagrantSettings::resolve(flag, table()).provider;
        assert_eq!(resolved(None), Some(VagrantProvider::Libvirt));
        assert_eq!(resolved(Some(VagrantProvider::Docker)), Some(VagrantProvider::Docker));
    }

    #[test]
    fn providers_go_by_the_names_of_vagrant() {
        for provider in VagrantProvider::ALL {
            assert_eq!(provider.to_string().parse(), Ok(provider));
            assert_eq!(serde_json::to_string(&provider).unwrap(), format!("\"{provider}\""));
        }
        assert!("vmware".parse::<VagrantProvider>().is_err());
    }
}
