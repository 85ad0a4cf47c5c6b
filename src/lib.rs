pub mod checkpoint;
pub mod exec;
pub mod fs;
pub mod model;
pub mod wait;
