//! Programs that `lab` runs, or that stand beside it.

use crate::ops::doctor::facts::{HostFacts, Installer, Program};
use crate::ops::doctor::finding::Finding;

pub(super) fn check(facts: &HostFacts) -> Vec<Finding> {
    let programs = &facts.programs;
    let mut findings = vec![ssh(facts)];
    findings.extend(facts.is_linux.then(|| mmdebstrap(facts)));
    findings.push(optional("vagrant", "Vagrant", &programs.vagrant));
    findings.push(optional("virtualbox", "VirtualBox", &programs.virtualbox));
    findings
}

fn ssh(facts: &HostFacts) -> Finding {
    if facts.programs.ssh != Program::Absent {
        return Finding::fine("ssh", "installed");
    }
    let package = match facts.installer {
        Some(Installer::Dnf) => "openssh-clients",
        Some(Installer::Pacman | Installer::Zypper | Installer::Brew) => "openssh",
        _ => "openssh-client",
    };
    Finding::warning("ssh", "not installed; `lab ssh` needs it", facts.install(package))
}

fn mmdebstrap(facts: &HostFacts) -> Finding {
    if facts.programs.mmdebstrap != Program::Absent {
        return Finding::fine("mmdebstrap", "installed");
    }
    let says = "not installed; it makes the base image where no registry can be reached";
    let finding = Finding::note("mmdebstrap", says);
    if facts.installer == Some(Installer::Apt) {
        finding.cured_by(facts.install("mmdebstrap"))
    } else {
        finding
    }
}

fn optional(check: &'static str, name: &str, program: &Program) -> Finding {
    match program {
        Program::Absent => {
            Finding::note(check, "not installed; only nodes that are virtual machines need it")
        }
        Program::Present { version: Some(version) } => Finding::fine(check, format!("{name} {version}")),
        Program::Present { version: None } => {
            Finding::note(check, format!("{name} is installed and does not tell its version"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::healthy;
    use super::*;
    use crate::ops::doctor::finding::Verdict;

    #[track_caller]
    fn check_one(of: &str, spoil: impl FnOnce(&mut HostFacts), want: Verdict, cure: Option<&str>) {
        let mut facts = healthy();
        spoil(&mut facts);
        let found = check(&facts).into_iter().find(|finding| finding.check == of).unwrap();
        assert_eq!((found.verdict, found.cure.as_deref()), (want, cure), "{}", found.says);
    }

    fn no_ssh(installer: Option<Installer>) -> impl FnOnce(&mut HostFacts) {
        move |facts| (facts.programs.ssh, facts.installer) = (Program::Absent, installer)
    }

    #[test]
    fn a_missing_ssh_is_installed_the_way_of_the_host() {
        check_one("ssh", |_| {}, Verdict::Fine, None);
        for (installer, cure) in [
            (Some(Installer::Apt), "sudo apt-get install openssh-client"),
            (Some(Installer::Dnf), "sudo dnf install openssh-clients"),
            (Some(Installer::Zypper), "sudo zypper install openssh"),
            (Some(Installer::Pacman), "sudo pacman -S openssh"),
            (Some(Installer::Apk), "sudo apk add openssh-client"),
            (Some(Installer::Brew), "brew install openssh"),
            (None, "scripts/setup  # in the repository of lab"),
        ] {
            check_one("ssh", no_ssh(installer), Verdict::Warning, Some(cure));
        }
    }

    #[test]
    fn what_is_optional_is_only_noted() {
        let none = |facts: &mut HostFacts| facts.programs = crate::ops::doctor::Programs::default();
        check_one("mmdebstrap", none, Verdict::Note, Some("sudo apt-get install mmdebstrap"));
        check_one("mmdebstrap", |_| {}, Verdict::Fine, None);
        check_one("vagrant", none, Verdict::Note, None);
        check_one("vagrant", |_| {}, Verdict::Fine, None);
        check_one("virtualbox", none, Verdict::Note, None);
        let mute = |facts: &mut HostFacts| facts.programs.virtualbox = Program::Present { version: None };
        check_one("virtualbox", mute, Verdict::Note, None);
    }
}
