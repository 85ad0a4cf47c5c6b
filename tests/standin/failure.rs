//! How a command ends that could not be carried out, in the words of VirtualBox. Vagrant and `lab` recognize
//! causes by them.

use std::fmt;

use crate::settings::Kind;

/// What is said on stderr, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    text: String,
}

/// Who VirtualBox says has failed.
pub const MACHINE: (&str, &str) = ("MachineWrap", "IMachine");
const CONSOLE: (&str, &str) = ("ConsoleWrap", "IConsole");

const OBJECT_STATE: &str = "VBOX_E_INVALID_OBJECT_STATE (0x80bb0007)";

impl Failure {
    /// A command that VirtualBox would not know.
    pub fn usage(command: &str, message: impl fmt::Display) -> Self {
        let text = format!("Usage:\n\n  VBoxManage {command} ...\n\nVBoxManage: error: {message}");
        Self { code: 2, text }
    }

    pub fn plain(message: impl fmt::Display) -> Self {
        Self { code: 1, text: format!("VBoxManage: error: {message}") }
    }

    pub fn detailed(message: impl fmt::Display, code: &str, (component, interface): (&str, &str)) -> Self {
        let lines: Vec<String> =
            message.to_string().lines().map(|line| format!("VBoxManage: error: {line}\n")).collect();
        let text = format!(
            "{}VBoxManage: error: Details: code {code}, component {component}, interface {interface}",
            lines.concat()
        );
        Self { code: 1, text }
    }

    fn with_context(mut self, call: &str, place: &str) -> Self {
        self.text += &format!("\nVBoxManage: error: Context: \"{call}\" at line {place}");
        self
    }

    fn after(mut self, line: &str) -> Self {
        self.text = format!("{line}\n{}", self.text);
        self
    }

    pub fn not_found(name: &str) -> Self {
        let message = if crate::arguments::is_uuid(name) {
            format!("Could not find a registered machine with UUID {{{name}}}")
        } else {
            format!("Could not find a registered machine named '{name}'")
        };
        let who = ("VirtualBoxWrap", "IVirtualBox, callee nsISupports");
        Self::detailed(message, "VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)", who).with_context(
            "FindMachine(Bstr(VMNameOrUuid).raw(), machine.asOutParam())",
            "2719 of file VBoxManageInfo.cpp",
        )
    }

    /// A machine whose settings cannot be changed, because it runs or somebody else changes it.
    pub fn locked(name: &str) -> Self {
        let message = format!("The machine '{name}' is already locked for a session (or being unlocked)");
        Self::detailed(message, OBJECT_STATE, ("MachineWrap", "IMachine, callee nsISupports"))
            .with_context("LockMachine(a->session, LockType_Write)", "645 of file VBoxManageModifyVM.cpp")
    }

    /// A machine that cannot be started, because it runs or is being started.
    pub fn in_session(name: &str) -> Self {
        let message =
            format!("The machine '{name}' is already locked by a session (or being locked or unlocked)");
        Self::detailed(message, OBJECT_STATE, ("MachineWrap", "IMachine, callee nsISupports")).with_context(
            "LaunchVMProcess(a->session, sessionType.raw(), ComSafeArrayAsInParam(aBstrEnv), progress.asOutParam())",
            "921 of file VBoxManageMisc.cpp",
        )
    }

    pub fn wrong_state(message: impl fmt::Display) -> Self {
        Self::detailed(message, OBJECT_STATE, ("MachineWrap", "IMachine, callee nsISupports"))
    }

    pub fn not_running(name: &str) -> Self {
        Self::plain(format!("Machine '{name}' is not currently running."))
    }

    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::detailed(message, "NS_ERROR_INVALID_ARG (0x80070057)", MACHINE)
    }

    pub fn no_start(kind: Kind) -> Self {
        let message = match kind {
            Kind::VtxHeld => {
                "VT-x is being used by another hypervisor (VERR_VMX_IN_VMX_ROOT_MODE).\n\
                 VirtualBox can't operate in VMX root mode. Please disable the KVM kernel extension, \
                 recompile your kernel and reboot (VERR_VMX_IN_VMX_ROOT_MODE)"
            }
            _ => "VT-x is not available (VERR_VMX_NO_VMX)",
        };
        Self::detailed(message, "NS_ERROR_FAILURE (0x80004005)", CONSOLE)
    }

    /// An address outside of the ranges of networks.conf.
    pub fn range() -> Self {
        Self::plain("Code E_ACCESSDENIED (0x80070005) - Access denied (extended info not available)")
            .with_context(
                "EnableStaticIPConfig(Bstr(pszIp).raw(), Bstr(pszNetmask).raw())",
                "242 of file VBoxManageHostonly.cpp",
            )
    }

    pub fn import_on_full_disk(disk: &str) -> Self {
        let message = format!(
            "Appliance import failed\nCould not create the imported medium '{disk}'.\n\
             VMDK: cannot write allocated data block in '{disk}' (VERR_DISK_FULL)"
        );
        Self::detailed(message, "VBOX_E_FILE_ERROR (0x80bb0004)", ("ApplianceWrap", "IAppliance"))
            .with_context(
                "RTEXITCODE handleImportAppliance(HandlerArg*)",
                "1118 of file VBoxManageAppliance.cpp",
            )
            .after("Progress state: VBOX_E_FILE_ERROR")
    }

    pub fn clone_on_full_disk(disk: &str) -> Self {
        let message = format!(
            "Clone VM failed\nCould not create the differencing storage unit '{disk}'.\n\
             VDI: setting image size failed for '{disk}' (VERR_DISK_FULL)"
        );
        Self::detailed(message, "VBOX_E_FILE_ERROR (0x80bb0004)", MACHINE)
            .with_context("RTEXITCODE handleCloneVM(HandlerArg*)", "561 of file VBoxManageMisc.cpp")
            .after("Progress state: VBOX_E_FILE_ERROR")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whatever is wrong with the stand-in itself or with Docker.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::detailed(format!("(stand-in) {error:#}"), "NS_ERROR_FAILURE (0x80004005)", MACHINE)
    }
}
