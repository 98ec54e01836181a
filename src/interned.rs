//! Values of which the process keeps one each, for its life: what stands for one can be copied, and a signal handler finds it by
//! its number.
#![forbid(unsafe_code)]

use core::ops::Deref;
use std::sync::OnceLock;

/// A list that only grows, at its end.
pub(crate) struct Interned<T: 'static>(OnceLock<Box<Kept<T>>>);

/// One of its values.
pub(crate) struct Kept<T: 'static> {
    value: T,
    /// Its place among all, from 1.
    number: u32,
    next: Interned<T>,
}

impl<T: PartialEq> Interned<T> {
    pub(crate) const fn new() -> Self {
        Interned(OnceLock::new())
    }

    /// The one that equals `value`, which is kept when it is the first such.
    pub(crate) fn keep(&'static self, value: T) -> &'static Kept<T> {
        let mut made = Box::new(Kept { value, number: 1, next: Interned::new() });
        let mut place = self;
        loop {
            match place.0.get() {
                Some(here) if here.value == made.value => return here,
                Some(here) => {
                    made.number = here.number + 1;
                    place = &here.next;
                }
                // What another thread was faster with is looked at next.
                None => match place.0.set(made) {
                    Ok(()) => return place.0.get().expect("it was set"),
                    Err(not_set) => made = not_set,
                },
            }
        }
    }

    /// The one of that number. Async-signal-safe: it looks and does nothing else.
    pub(crate) fn numbered(&'static self, number: u32) -> Option<&'static Kept<T>> {
        let first = self.0.get().map(|kept| &**kept);
        core::iter::successors(first, |kept| kept.next.0.get().map(|kept| &**kept))
            .find(|kept| kept.number == number)
    }
}

impl<T> Kept<T> {
    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_of_each() {
        static ALL: Interned<u32> = Interned::new();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for n in 0..100 {
                        ALL.keep(n * (thread + 1) % 100);
                    }
                });
            }
        });
        let mut seen: Vec<u32> = (1..).map_while(|number| ALL.numbered(number)).map(|kept| **kept).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        for n in 0..100 {
            let kept = ALL.keep(n);
            assert_eq!((**kept, ALL.numbered(kept.number()).map(|kept| **kept)), (n, Some(n)));
        }
        assert!(ALL.numbered(0).is_none() && ALL.numbered(101).is_none());
    }
}
