//! Labs of real nodes on a real engine. Each test has a lab of its own, named `e2e-…`, and removes it;
//! where several things can be seen on one lab without disturbing each other, they are checks of one test.

mod kit;

mod boot;
mod builds;
mod container;
mod contract;
mod copy;
mod engine_restart;
mod fleet;
mod halt;
mod images;
mod interrupt;
mod kill;
mod limits;
mod lock;
mod repair;
mod resize;
mod stacks;
mod two_labs;
mod vagrant;
mod verbs;
