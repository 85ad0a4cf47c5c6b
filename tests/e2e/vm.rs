//! Labs of virtual machines, which libvirt runs. They need a box and a libvirt, which `scripts/test-vm` has for them,
//! and take minutes where processors are emulated; so they are a program of their own.

#[expect(dead_code, reason = "it is written for containers too")]
mod contract;
#[expect(dead_code, unused_imports, reason = "it is written for the tests of all providers")]
mod kit;

mod libvirt;
