//! The settings of how failing sinks are tried again.
#![forbid(unsafe_code)]

use std::time::Duration;

/// How failing sinks are tried again.
///
/// ```
/// use std::time::Duration;
/// let patient = kakashi::Retry::default().limit(Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// With several sinks: how long one may fail before the others go on without it. Default: 5 s.
    pub limit: Duration,
    /// The first pause. It doubles with each failure. Default: 1 ms.
    pub first_pause: Duration,
    /// The longest pause. Default: 250 ms.
    pub longest_pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            limit: Duration::from_secs(5),
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(250),
        }
    }
}

impl Retry {
    /// Sets how long one of several sinks may fail before the others go on without it.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sets the first and the longest pause between tries.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first;
        self.longest_pause = longest.max(first);
        self
    }
}
