//! What the process holds: heap, memory, descriptors, threads. All of it must stay as it is.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of the heap in use.
static HEAP: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, counted.
struct Counting;

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HEAP.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HEAP.fetch_add(size as i64 - layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Makes the kernel's figures comparable: few arenas, so that memory which was given back is found again.
pub fn settle_allocator() {
    // SAFETY: a setting of glibc's allocator.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
}

/// What is held at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub heap: i64,
    /// Bytes of memory.
    pub resident: u64,
    pub descriptors: u64,
    pub threads: u64,
}

pub fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    // SAFETY: a question about the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.unwrap_or(0) * page.max(1) as u64
}

fn entries(folder: &str) -> u64 {
    std::fs::read_dir(folder).map_or(0, |entries| entries.count() as u64)
}

impl Held {
    pub fn now() -> Held {
        let heap = HEAP.load(Ordering::Relaxed);
        Held {
            heap,
            resident: resident(),
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
        }
    }

    /// The same once threads that were joined have left the kernel's list, too.
    pub fn at_rest() -> Held {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let held = Held::now();
            if held.threads == 1 || Instant::now() > end {
                return held;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// How much more than at the end of the warm-up may be held: of the heap, what buffers of another size take; of memory,
/// pages of rings, scratch areas and stacks that were never used before.
const HEAP_SLACK: i64 = 16 << 10;
const MEMORY_SLACK: u64 = 8 << 20;

/// What is held whenever no backend runs and no thread logs: flat after a warm-up.
pub struct Flat {
    warm_until: Instant,
    most: Option<Held>,
    /// How often it was looked at since.
    pub looks: u64,
}

impl Flat {
    pub fn new(warm_up: Duration) -> Self {
        Flat { warm_until: Instant::now() + warm_up, most: None, looks: 0 }
    }

    /// What was held at the end of the warm-up.
    pub fn most(&self) -> Held {
        self.most.unwrap_or_default()
    }

    /// Looks; says what has grown.
    pub fn look(&mut self) -> Option<String> {
        let now = Held::at_rest();
        let most = match self.most {
            Some(most) if Instant::now() >= self.warm_until => most,
            most => {
                let most = most.unwrap_or(now);
                self.most = Some(Held {
                    heap: most.heap.max(now.heap),
                    resident: most.resident.max(now.resident),
                    ..most
                });
                most
            }
        };
        self.looks += 1;
        let grown = if now.threads != 1 {
            "threads are left over"
        } else if now.descriptors != most.descriptors {
            "descriptors are left over"
        } else if now.heap > self.most().heap + HEAP_SLACK {
            "the heap has grown"
        } else if now.resident > self.most().resident + MEMORY_SLACK {
            "memory has grown"
        } else {
            return None;
        };
        Some(format!(
            "{grown}, with no backend and no thread: {now:?}, and after the warm-up at most {most:?}"
        ))
    }
}
