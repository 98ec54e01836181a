//! Memory that stands for the region's, which is never unmapped: rings and callsites refer to it as `'static`.

/// A box whose content is lent out, and freed at the end.
pub(super) struct Lent<T: 'static>(*mut T);

impl<T> Lent<T> {
    pub(super) fn new(value: T) -> Self {
        Lent::of(Box::new(value))
    }

    pub(super) fn of(value: Box<T>) -> Self {
        Lent(Box::into_raw(value))
    }

    /// Lends it for good, as far as the borrower can tell.
    ///
    /// # Safety
    /// What refers to it is dropped before this is.
    pub(super) unsafe fn get(&self) -> &'static T {
        // SAFETY: it came from a box, and is freed after all that refers to it, as the caller promised.
        unsafe { &*self.0 }
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        // SAFETY: it came from a box, and nothing refers to it any more.
        drop(unsafe { Box::from_raw(self.0) });
    }
}
