//! Reads `[vagrant]`: what virtual machines are made of, and by whom.

use toml::de::{DeTable, DeValue};

use super::Reader;
use crate::config::limits;
use crate::config::vagrant::VagrantTable;

impl Reader<'_> {
    pub(super) fn vagrant(&mut self, root: &DeTable<'_>) -> VagrantTable {
        let empty = DeTable::new();
        let vagrant = self.table(root, "vagrant").unwrap_or(&empty);
        VagrantTable {
            provider: self.string(vagrant, "provider", limits::vagrant_provider),
            base: self.string(vagrant, "box", limits::box_name),
            box_version: self.string(vagrant, "box_version", limits::box_version),
            box_url: self.string(vagrant, "box_url", limits::box_url),
            driver: self.string(vagrant, "driver", limits::driver),
            boot_timeout: self.whole(vagrant, "boot_timeout", limits::boot_timeout),
            serial_log: self.typed(vagrant, "serial_log", "true or false", DeValue::as_bool),
        }
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;
    use crate::config::{Driver, VagrantProvider, parse};

    #[test]
    fn each_key_is_read() {
        let text = "[vagrant]\nprovider = \"libvirt\"\nbox = \"me/box\"\nbox_version = \"1.2\"\n\
                    box_url = \"/x.box\"\ndriver = \"qemu\"\nboot_timeout = 60\nserial_log = true";
        let want = VagrantTable {
            provider: Some(VagrantProvider::Libvirt),
            base: Some("me/box".to_owned()),
            box_version: Some("1.2".to_owned()),
            box_url: Some("/x.box".to_owned()),
            driver: Some(Driver::Qemu),
            boot_timeout: Some(60),
            serial_log: Some(true),
        };
        assert_eq!(parse(text, Utf8Path::new("lab.toml")).unwrap().vagrant, want);
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        let check = |line: &str, want: &str| {
            let text = format!("[vagrant]\n{line}");
            let told = parse(&text, Utf8Path::new("lab.toml")).unwrap_err().to_string();
            assert_eq!(told.lines().next(), Some(format!("lab.toml:{want}").as_str()), "{told}");
        };
        check(
            "provider = \"vmware\"",
            "2:12: `provider`: `vmware` is none of `virtualbox`, `libvirt` and `docker`",
        );
        check("driver = \"xen\"", "2:10: `driver`: `xen` is neither `kvm` nor `qemu`");
        check(
            "box = \"--force\"",
            "2:7: `box`: `--force` is not a box: it is written like debian/bookworm64",
        );
        check("box_version = \"\"", "2:15: `box_version`: it is empty");
        check("box_url = \"-x\"", "2:11: `box_url`: `-x` is no address and no file");
        check("boot_timeout = 5", "2:16: `boot_timeout`: 5 is not between 10 and 3600");
        check("serial_log = 1", "2:14: `serial_log` must be true or false, not a number");
    }
}
