//! Names that nobody else has.

use anyhow::Context;

/// Returns a new identity, from the kernel.
pub fn uuid() -> String {
    let text = std::fs::read("/proc/sys/kernel/random/uuid").context("the kernel gives no identities");
    String::from_utf8_lossy(&text.expect("this is Linux")).trim().to_owned()
}

/// Returns a MAC address of VirtualBox's own range, without colons.
pub fn mac() -> String {
    format!("080027{}", uuid()[..6].to_uppercase())
}

/// Returns any number.
pub fn byte() -> u8 {
    u8::from_str_radix(&uuid()[..2], 16).unwrap_or_default()
}
