//! The server over a real socket: what upstream's clients rely on, every refusal, and what it must survive.

mod client;
mod contact;
mod decisions;
mod fuzz;
mod kit;
mod machines;
mod ours;
mod refusals;
mod sequence;
mod traps;
