//! Structures of the region as values, out of bytes that may say anything.

use crate::lane::LaneHead;
use crate::region::RegionHeader;

/// What any bytes are a valid value of.
///
/// # Safety
/// `repr(C)`, integers and atomic integers only, without references, and `Drop` does nothing.
pub(super) unsafe trait Plain: Sized {}

// SAFETY: integers and atomic integers, in structures that are `repr(C)`.
unsafe impl Plain for RegionHeader {}
// SAFETY: as above.
unsafe impl Plain for LaneHead {}

/// The value in the first bytes; `None` when there are too few.
pub(super) fn read<T: Plain>(bytes: &[u8]) -> Option<Box<T>> {
    let bytes = bytes.get(..size_of::<T>())?;
    let mut value = Box::<T>::new_uninit();
    // SAFETY: as many bytes as the value has, all of which are valid, go into memory of the value's alignment; padding
    // stays what it was.
    unsafe {
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast(), size_of::<T>());
        Some(value.assume_init())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_wants_all_of_its_bytes() {
        let bytes = vec![0; size_of::<LaneHead>()];
        assert!(read::<LaneHead>(&bytes).is_some());
        assert!(read::<LaneHead>(&bytes[1..]).is_none());
        assert!(read::<RegionHeader>(&[]).is_none());
    }
}
