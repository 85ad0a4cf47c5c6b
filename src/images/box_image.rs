//! What a Vagrant box of ours is: the folder that its disk is made in, the command that makes it, and the texts
//! that come with the disk. Decides, and does nothing.

use camino::{Utf8Path, Utf8PathBuf};
use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{base, bootstrap, recipe, vm};
use crate::exec::Cmd;

static BOX: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/images/box");

/// As `images/box/build` lays it out. Most of it is a hole in the file.
const DISK_GIB: u64 = 20;
/// The only processor that the way of booting is for.
pub const ARCH: &str = "x86_64";
/// What making a box takes: the program, and the Debian package that has it.
pub const TOOLS: [(&str, &str); 9] = [
    ("mmdebstrap", "mmdebstrap"),
    ("mke2fs", "e2fsprogs"),
    ("qemu-img", "qemu-utils"),
    ("syslinux", "syslinux"),
    ("mcopy", "mtools"),
    ("mkfs.vfat", "dosfstools"),
    ("sfdisk", "fdisk"),
    ("cpio", "cpio"),
    ("unshare", "util-linux"),
];
/// A file without a program of its own, from the package that it is in.
pub const MBR: (&str, &str) = ("/usr/lib/syslinux/mbr/mbr.bin", "syslinux-common");

/// Whose machines a box is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Libvirt,
    Virtualbox,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt",
            Self::Virtualbox => "virtualbox",
        }
    }

    pub fn disk(self) -> &'static str {
        match self {
            Self::Libvirt => "box.img",
            Self::Virtualbox => "box-disk001.vmdk",
        }
    }

    fn kernel(self) -> &'static str {
        match self {
            Self::Libvirt => "linux-image-cloud-amd64",
            // The kernel for clouds has no driver for VirtualBox's disks.
            Self::Virtualbox => "linux-image-amd64",
        }
    }
}

/// Returns a short name for everything that a box is made of but the packages' versions.
pub fn key(format: Format, labd: &[u8]) -> String {
    let own =
        BOX.files().fold(Sha256::new(), |hash, file| hash.chain_update(file.contents()).chain_update([0]));
    recipe::short(own.chain_update(format.name()).chain_update(vm::kit_key()).chain_update(labd))
}

/// Returns what the workshop holds before the work begins, as an archive.
pub fn workshop(labd: &[u8]) -> Vec<(Utf8PathBuf, Vec<u8>)> {
    let own = BOX.files().filter_map(|file| Some((file.path().to_str()?.into(), file.contents().to_vec())));
    let dpkg = std::iter::once((Utf8PathBuf::from("dpkg.cfg"), recipe::file("dpkg.cfg").to_vec()));
    let kit =
        vm::kit_files(labd).into_iter().map(|(name, content)| (Utf8Path::new("kit").join(name), content));
    own.chain(dpkg).chain(kit).collect()
}

/// Returns the command that makes the disk in a workshop.
pub fn build(workshop: &Utf8Path, format: Format) -> Cmd {
    Cmd::new("sh")
        .env("TMPDIR", workshop.as_str())
        .arg(workshop.join("build").as_str())
        .args([format.kernel(), format.disk(), base::SUITE])
        .args(bootstrap::sources(base::SUITE).iter().map(|path| path.as_str()))
}

/// Returns the files that stand beside the disk in a box.
pub fn texts(format: Format, disk_bytes: u64) -> Vec<(&'static str, String)> {
    let vagrantfile = ("Vagrantfile", vagrantfile(format));
    match format {
        Format::Libvirt => {
            let metadata =
                serde_json::json!({ "provider": "libvirt", "format": "qcow2", "virtual_size": DISK_GIB });
            vec![("metadata.json", metadata.to_string()), vagrantfile]
        }
        Format::Virtualbox => {
            let metadata = serde_json::json!({ "provider": "virtualbox" });
            vec![("metadata.json", metadata.to_string()), vagrantfile, ("box.ovf", ovf(disk_bytes))]
        }
    }
}

fn vagrantfile(format: Format) -> String {
    let mac = match format {
        Format::Libvirt => "",
        // That of the interface in the description; each machine gets one of its own in its place.
        Format::Virtualbox => "  config.vm.base_mac = \"080027AB0000\"\n",
    };
    format!(
        "Vagrant.configure(\"2\") do |config|\n  config.ssh.username = \"core\"\n{mac}  \
         config.vm.synced_folder \".\", \"/vagrant\", disabled: true\nend\n"
    )
}

/// Returns the machine as VirtualBox itself would export it: one disk at SATA, one interface behind NAT.
fn ovf(disk_bytes: u64) -> String {
    let text = BOX.get_file("box.ovf").and_then(include_dir::File::contents_utf8);
    let text = text.expect("the folder is part of the program");
    text.replace("@DISK_BYTES@", &disk_bytes.to_string()).replace("@CAPACITY@", &(DISK_GIB << 30).to_string())
}

/// What Vagrant reads to learn which boxes there are, and `lab` to see what they were made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    pub name: String,
    pub description: String,
    pub versions: Vec<Version>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub version: String,
    pub providers: Vec<BoxFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxFile {
    pub name: Format,
    pub url: String,
    pub checksum_type: String,
    pub checksum: String,
    /// Ours: what it was made of. Vagrant passes over it.
    pub lab_key: String,
}

impl Catalogue {
    pub fn new(name: &str) -> Self {
        let description = "A node of a lab, made by `lab box build`".to_owned();
        Self { name: name.to_owned(), description, versions: Vec::new() }
    }

    /// Returns the box for a format, with its version.
    pub fn find(&self, format: Format) -> Option<(&str, &BoxFile)> {
        self.versions.iter().find_map(|version| {
            let found = version.providers.iter().find(|file| file.name == format)?;
            Some((version.version.as_str(), found))
        })
    }

    /// Puts a box in the place of the one that there was for its format. Versions grow with time, as Vagrant takes
    /// the highest.
    pub fn put(&mut self, file: BoxFile, unix_seconds: u64) {
        self.versions.retain(|version| version.providers.iter().all(|old| old.name != file.name));
        let version = format!("{}.{unix_seconds}", env!("CARGO_PKG_VERSION"));
        self.versions.push(Version { version, providers: vec![file] });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: Format, key: &str) -> BoxFile {
        let (url, checksum) = ("file:///b.box".to_owned(), "00".to_owned());
        BoxFile { name, url, checksum_type: "sha256".to_owned(), checksum, lab_key: key.to_owned() }
    }

    #[test]
    fn a_catalogue_has_one_box_for_each_format() {
        let mut catalogue = Catalogue::new("lab/node");
        catalogue.put(file(Format::Libvirt, "a"), 100);
        catalogue.put(file(Format::Virtualbox, "b"), 101);
        catalogue.put(file(Format::Libvirt, "c"), 102);
        assert_eq!(catalogue.versions.len(), 2);
        let (version, found) = catalogue.find(Format::Libvirt).unwrap();
        assert_eq!((version.ends_with(".102"), found.lab_key.as_str()), (true, "c"));
        let json = serde_json::to_string(&catalogue).unwrap();
        assert!(json.contains(r#""providers":[{"name":"libvirt","#), "{json}");
        assert_eq!(serde_json::from_str::<Catalogue>(&json).unwrap(), catalogue);
    }

    #[test]
    fn a_key_changes_with_the_format_and_with_labd() {
        let key_of = |format, labd: &[u8]| key(format, labd);
        assert_eq!(key_of(Format::Libvirt, b"a"), key_of(Format::Libvirt, b"a"));
        assert_ne!(key_of(Format::Libvirt, b"a"), key_of(Format::Virtualbox, b"a"));
        assert_ne!(key_of(Format::Libvirt, b"a"), key_of(Format::Libvirt, b"b"));
    }

    #[test]
    fn the_workshop_holds_all_that_the_script_asks_for() {
        let files = workshop(b"program");
        let has = |path: &str| files.iter().any(|(name, _)| name == path);
        for path in [
            "build",
            "settle",
            "initrd",
            "masked",
            "packages",
            "vagrant.pub",
            "dpkg.cfg",
            "kit/install",
            "kit/labd",
            "kit/packages",
            "kit/key",
        ] {
            assert!(has(path), "{path}");
        }
        let line = build(Utf8Path::new("/w"), Format::Libvirt).to_string();
        assert!(line.starts_with("TMPDIR=/w sh /w/build linux-image-cloud-amd64 box.img bookworm"), "{line}");
    }

    #[test]
    fn a_machine_is_described_as_its_box_says() {
        let texts = texts(Format::Virtualbox, 12345);
        let ovf = &texts.iter().find(|(name, _)| *name == "box.ovf").unwrap().1;
        assert!(ovf.contains("ovf:size=\"12345\"") && ovf.contains("ovf:capacity=\"21474836480\""), "{ovf}");
        assert!(
            !ovf.contains('@') && ovf.contains(Format::Virtualbox.disk()) && ovf.contains("080027AB0000")
        );
        assert!(texts.iter().any(|(name, text)| *name == "Vagrantfile" && text.contains("080027AB0000")));
    }
}
