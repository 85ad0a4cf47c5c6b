//! Something that is looked at again and again while a test does other things.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use super::wait::{patient, try_until};

/// Longer than any test takes; one that fails leaves nobody behind.
const LIMIT: Duration = Duration::from_mins(10);

/// Looks until it is told to end; dropped, it ends too.
pub struct Watch<T> {
    is_over: Arc<AtomicBool>,
    looking: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Watch<T> {
    /// Begins to look; what was seen is collected in `seen`.
    pub fn start(mut seen: T, mut look: impl FnMut(&mut T) + Send + 'static) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let is_told = Arc::clone(&is_over);
        let looking = spawn(move || {
            try_until(patient(LIMIT), || {
                look(&mut seen);
                is_told.load(Ordering::Relaxed).then_some(())
            });
            seen
        });
        Self { is_over, looking: Some(looking) }
    }

    /// Returns all that was seen.
    #[track_caller]
    pub fn end(mut self) -> T {
        self.is_over.store(true, Ordering::Relaxed);
        let looking = self.looking.take().expect("it ends once");
        looking.join().expect("who looks does not fail")
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
