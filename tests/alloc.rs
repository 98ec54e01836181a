//! A log call allocates nothing, from a thread's first one to the thread's end; nor does the writer, once it runs.
//!
//! Allocations are counted twice: by Rust's global allocator, and by functions that take the place of the C
//! library's own (`malloc` and its like), through which also go the allocations of the C library itself.
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

#[path = "support/forms.rs"]
#[macro_use]
mod forms;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use forms::{LONG, Order};
use kakashi::{
    Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, Format, Guard, LevelFilter, Logger,
    Preformatted, Sink, SinkOptions, info, warn,
};
use libc::{c_int, c_void, size_t};

// ---- counting ----

/// Whose allocations are counted.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Other,
    Caller,
    Writer,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Other) };
}

static BY_CALLERS: AtomicU64 = AtomicU64::new(0);
static BY_WRITER: AtomicU64 = AtomicU64::new(0);
/// Whether the writer's are counted.
static WRITER_COUNTS: AtomicBool = AtomicBool::new(false);

fn count() {
    match ROLE.get() {
        Role::Other => {}
        Role::Caller => {
            BY_CALLERS.fetch_add(1, Ordering::Relaxed);
        }
        Role::Writer if WRITER_COUNTS.load(Ordering::Relaxed) => {
            BY_WRITER.fetch_add(1, Ordering::Relaxed);
        }
        Role::Writer => {}
    }
}

struct Counting;

// SAFETY: it hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// The C library's allocator, by the names it keeps for itself.
mod c_library {
    use super::{c_int, c_void, count, size_t};

    unsafe extern "C" {
        fn __libc_malloc(size: size_t) -> *mut c_void;
        fn __libc_calloc(count: size_t, size: size_t) -> *mut c_void;
        fn __libc_realloc(at: *mut c_void, size: size_t) -> *mut c_void;
        fn __libc_memalign(align: size_t, size: size_t) -> *mut c_void;
        fn __libc_free(at: *mut c_void);
    }

    /// Functions that count and hand on.
    macro_rules! counted {
        ($($name:ident($($arg:ident: $type:ty),*) -> $back:ty = $real:expr;)*) => {$(
            // SAFETY: it takes the place of the C library's function of that name and type, and does what it does.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($arg: $type),*) -> $back {
                count();
                // SAFETY: as the caller promised.
                unsafe { $real }
            }
        )*};
    }

    counted! {
        malloc(size: size_t) -> *mut c_void = __libc_malloc(size);
        calloc(n: size_t, size: size_t) -> *mut c_void = __libc_calloc(n, size);
        realloc(at: *mut c_void, size: size_t) -> *mut c_void = __libc_realloc(at, size);
        memalign(align: size_t, size: size_t) -> *mut c_void = __libc_memalign(align, size);
        aligned_alloc(align: size_t, size: size_t) -> *mut c_void = __libc_memalign(align, size);
        posix_memalign(at: *mut *mut c_void, align: size_t, size: size_t) -> c_int = {
            *at = __libc_memalign(align, size);
            if (*at).is_null() { libc::ENOMEM } else { 0 }
        };
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn free(at: *mut c_void) {
        // A thread's end frees several null pointers.
        if !at.is_null() {
            count();
        }
        // SAFETY: as the caller promised.
        unsafe { __libc_free(at) }
    }
}

// ---- the log ----

/// Counts lines, and lets the writer's allocations be counted.
struct Quiet;

static LINES: AtomicU64 = AtomicU64::new(0);
/// While it is set, the sink takes nothing.
static STALLED: AtomicBool = AtomicBool::new(false);

impl Sink for Quiet {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if STALLED.load(Ordering::Acquire) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if ROLE.get() == Role::Other {
            assert!(is_named(c"kakashi-writer"), "the writer's thread has another name");
            ROLE.set(Role::Writer);
        }
        LINES.fetch_add(bytes.iter().filter(|&&byte| byte == b'\n').count() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }
}

/// Keeps the sink from taking anything, until it is dropped.
struct Stall;

impl Stall {
    fn begin() -> Self {
        STALLED.store(true, Ordering::Release);
        Stall
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        STALLED.store(false, Ordering::Release);
    }
}

/// Whether the calling thread has that name.
fn is_named(name: &std::ffi::CStr) -> bool {
    let mut buffer = [0_u8; 16];
    // SAFETY: the buffer has the 16 bytes that PR_GET_NAME writes.
    unsafe { libc::prctl(libc::PR_GET_NAME, buffer.as_mut_ptr()) };
    buffer.starts_with(name.to_bytes_with_nul())
}

/// Starts the backend if it is not, and gives the turn.
fn start() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    static BACKEND: OnceLock<Guard> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    BACKEND.get_or_init(|| {
        kakashi::builder().level(LevelFilter::Trace).sink(Quiet).start().expect("the backend starts")
    });
    forms::owned();
    settle();
    turn
}

/// All is written, and every call is accounted for.
#[track_caller]
fn settle() {
    kakashi::flush(support::WATCHDOG).expect("all is written");
    support::assert_conserved();
    let stats = kakashi::get_async_stats();
    assert_eq!(LINES.load(Ordering::Relaxed), stats.messages_written + stats.notices, "{stats}");
}

// ---- threads ----

/// Runs `body` on a thread made by the C library on memory of ours: none of Rust's own preparations for a thread
/// are counted, and everything is that happens between the thread's first step and its last.
#[track_caller]
fn on_counted_thread(body: fn()) {
    assert_eq!(BY_CALLERS.load(Ordering::Relaxed), 0);
    join(spawn(body, true));
    assert_eq!(BY_CALLERS.swap(0, Ordering::Relaxed), 0, "allocations on the logging thread");
}

struct Thread {
    id: libc::pthread_t,
    stack: *mut c_void,
    _body: Box<(fn(), bool)>,
}

const STACK: usize = 2 << 20;

fn spawn(body: fn(), counted: bool) -> Thread {
    extern "C" fn begin(body: *mut c_void) -> *mut c_void {
        // SAFETY: `spawn` gave a pair that outlives the thread.
        let (body, counted) = unsafe { *body.cast::<(fn(), bool)>() };
        if counted {
            ROLE.set(Role::Caller);
        }
        body();
        std::ptr::null_mut()
    }

    let body = Box::new((body, counted));
    // SAFETY: a fresh mapping is the thread's stack until it was joined; the attributes are initialised first.
    unsafe {
        let stack = libc::mmap(
            std::ptr::null_mut(),
            STACK,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
            -1,
            0,
        );
        assert_ne!(stack, libc::MAP_FAILED);
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        assert_eq!(libc::pthread_attr_init(&mut attributes), 0);
        assert_eq!(libc::pthread_attr_setstack(&mut attributes, stack, STACK), 0);
        let mut id = std::mem::zeroed();
        let argument = std::ptr::from_ref(&*body).cast_mut().cast();
        assert_eq!(libc::pthread_create(&mut id, &attributes, begin, argument), 0);
        libc::pthread_attr_destroy(&mut attributes);
        Thread { id, stack, _body: body }
    }
}

fn join(thread: Thread) {
    // SAFETY: the thread was not joined yet; its stack is not used after it has ended.
    unsafe {
        assert_eq!(libc::pthread_join(thread.id, std::ptr::null_mut()), 0);
        libc::munmap(thread.stack, STACK);
    }
}

// ---- what is logged ----

kakashi::channel!(static BLOCK_P: Channel<128, 1024, 8, Block, Preformatted>);
kakashi::channel!(static BLOCK_D: Channel<64, 1024, 8, Block, Deferred>);
kakashi::channel!(static FOR_P: Channel<64, 256, 8, BlockFor<1_000_000>, Preformatted>);
kakashi::channel!(static FOR_D: Channel<256, 64, 8, BlockFor<50>, Deferred>);
kakashi::channel!(static NEWEST_P: Channel<64, 8, 8, DropNewest, Preformatted>);
kakashi::channel!(static NEWEST_D: Channel<128, 256, 8, DropNewest, Deferred>);
kakashi::channel!(static OLDEST_P: Channel<128, 256, 8, DropOldest, Preformatted>);
kakashi::channel!(static OLDEST_D: Channel<64, 8, 8, DropOldest, Deferred>);
// One lane: whoever comes second shares.
kakashi::channel!(static SHARED_BLOCK: Channel<128, 1024, 1, Block, Preformatted>);
kakashi::channel!(static SHARED_NEWEST: Channel<64, 64, 1, DropNewest, Deferred>);
kakashi::channel!(static SHARED_OLDEST: Channel<64, 64, 1, DropOldest, Preformatted>);
kakashi::channel!(static SHARED_FOR: Channel<64, 64, 1, BlockFor<1000>, Deferred>);

/// Every form, on every policy and encoding, first calls included.
fn everything() {
    short_forms!(BLOCK_P, BLOCK_D, FOR_P, FOR_D, NEWEST_P, NEWEST_D, OLDEST_P, OLDEST_D);
    long_forms!(BLOCK_P, BLOCK_D, FOR_P, FOR_D, NEWEST_P, NEWEST_D, OLDEST_P, OLDEST_D);
    short_forms!(SHARED_BLOCK, SHARED_NEWEST, SHARED_OLDEST, SHARED_FOR, audit());
    long_forms!(SHARED_BLOCK, SHARED_NEWEST, SHARED_OLDEST, SHARED_FOR, audit());
    info!("plain {}", 1);
    info!("plain {:?}", Order(1, "x"), k = ?Some(1));
    kakashi::get_async_logger("quiet").set_level(LevelFilter::Off);
    info!(kakashi::get_async_logger("quiet"), "off {}", 1);
    assert!(kakashi::stats().calls() > 0 && kakashi::stats().fullest() <= 1.0);
    assert!(BLOCK_P.lanes().count() > 0);
}

fn audit() -> Logger {
    kakashi::get_async_logger("audit")
}

// ---- tests ----

#[test]
fn both_counts_count() {
    let _turn = start();
    for body in [
        || drop(std::hint::black_box(Box::new(7))),
        || {
            // SAFETY: `strdup` allocates within the C library; what it gives is freed.
            unsafe { libc::free(std::hint::black_box(libc::strdup(c"text".as_ptr())).cast()) };
        },
        || {
            // SAFETY: as above.
            unsafe {
                let mut at = std::ptr::null_mut();
                assert_eq!(libc::posix_memalign(&mut at, 64, 64), 0);
                libc::free(std::hint::black_box(libc::realloc(std::hint::black_box(at), 128)));
            }
        },
    ] {
        join(spawn(body, true));
        assert!(BY_CALLERS.swap(0, Ordering::Relaxed) >= 2);
    }
    // A thread that does nothing allocates nothing, so that what is counted is the logger's.
    on_counted_thread(|| {});
}

#[test]
fn no_form_of_call_allocates_from_the_first_one_to_the_threads_end() {
    let _turn = start();
    for _ in 0..3 {
        on_counted_thread(everything);
        settle();
    }
    on_counted_thread(|| {
        kakashi::prepare_thread().expect("there is a lane");
        BLOCK_P.prepare_thread().expect("there is a lane");
        everything();
    });
    settle();
    let stats = kakashi::get_async_stats();
    assert!(
        stats.truncated > 0
            && stats.calls > 4 * 13 * (forms::SHORT_FORMS + forms::SHORT_INNER + forms::LONG_FORMS),
        "{stats}"
    );
}

#[test]
fn a_context_and_a_loggers_fields_allocate_nothing() {
    let _turn = start();
    on_counted_thread(|| {
        let orders = audit().with("venue", "XETR").with("desk", 3);
        for n in 0..100 {
            let _outer = kakashi::context!(request = n, px = 0.5, user = %"ann", state = ?Some(1));
            let inner = kakashi::context!(more = true);
            kakashi::info!(orders, "filled {}", n);
            kakashi::info!(BLOCK_P, "{} {}", n, "text", key = ?Some(n));
            let there = kakashi::Context::current();
            drop(inner);
            let _again = there.enter();
            everything();
        }
    });
    settle();
}

#[test]
fn what_is_held_back_or_looked_at_allocates_nothing() {
    let _turn = start();
    kakashi::set_backtrace(LevelFilter::Info, 100);
    let written = kakashi::get_async_stats().messages_written;
    for filter in ["warn", "warn,[id=7]=info", "warn,[{key}]=info"] {
        kakashi::set_filter(filter.parse().expect("it is a filter"));
        on_counted_thread(|| {
            everything();
            kakashi::error!("what is held back is written in front of {}", "this");
            let _context = kakashi::context!(id = 7, user = %"ann");
            everything();
            everything();
        });
        settle();
    }
    kakashi::set_backtrace(LevelFilter::Off, 0);
    kakashi::set_filter(LevelFilter::Trace.into());
    assert!(kakashi::get_async_stats().messages_written > written + 100);
}

#[test]
fn threads_without_a_lane_allocate_nothing() {
    let _turn = start();
    // Whoever has the lanes keeps them while the counted thread logs; both may be threads of an earlier test.
    let _ = (SHARED_BLOCK.prepare_thread(), SHARED_NEWEST.prepare_thread());
    let _ = (SHARED_OLDEST.prepare_thread(), SHARED_FOR.prepare_thread());
    for _ in 0..3 {
        on_counted_thread(|| {
            short_forms!(SHARED_BLOCK, SHARED_NEWEST, SHARED_OLDEST, SHARED_FOR);
            long_forms!(SHARED_BLOCK, SHARED_NEWEST, SHARED_OLDEST, SHARED_FOR);
        });
        settle();
    }
    for channel in [SHARED_BLOCK.stats(), SHARED_NEWEST.stats(), SHARED_OLDEST.stats(), SHARED_FOR.stats()] {
        assert!(channel.calls() >= 3 * 16);
    }
    assert!(SHARED_BLOCK.lanes().any(|lane| lane.shared && lane.messages_enqueued >= 3 * 16));
}

#[test]
fn full_rings_and_waits_allocate_nothing() {
    let _turn = start();
    let stall = Stall::begin();
    // Waits that expire, drops at once, evictions.
    on_counted_thread(|| {
        for n in 0..2000 {
            info!(FOR_D, "{} {}", n, LONG[..200]);
            info!(NEWEST_P, "{} {:?}", n, Some(n));
            info!(NEWEST_D, "{}", n);
            info!(OLDEST_P, "{} {}", n, LONG[..300]);
            info!(OLDEST_D, "{}", n);
        }
    });
    let stats = kakashi::get_async_stats();
    assert!(stats.dropped.wait_expired > 0 && stats.dropped.newest > 0, "{stats}");
    // A wait that ends well: the sink takes again as soon as a call has waited.
    let waiting = spawn(
        || {
            for n in 0..3000 {
                info!(BLOCK_D, "{}", n);
                info!(BLOCK_P, "{:>3}", n);
            }
        },
        true,
    );
    let full = || BLOCK_P.lanes().chain(BLOCK_D.lanes()).any(|lane| lane.occupied == lane.slots);
    support::wait_until("a ring is full", full);
    drop(stall);
    join(waiting);
    assert_eq!(BY_CALLERS.swap(0, Ordering::Relaxed), 0, "allocations while waiting");
    settle();
    let stats = kakashi::get_async_stats();
    assert!(stats.blocked > 0 && stats.dropped.oldest > 0, "{stats}");
}

#[test]
fn statistics_are_rendered_without_an_allocation() {
    struct Length(usize);
    impl std::fmt::Write for Length {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let _turn = start();
    on_counted_thread(|| {
        let mut length = Length(0);
        assert!(kakashi::write_prometheus(&mut length).is_ok() && length.0 > 1000);
    });
}

#[test]
fn the_writer_allocates_nothing_in_steady_state() {
    let _turn = start();
    // Lanes, and whatever grows at first.
    let log = |rounds: u64| {
        for n in 0..rounds {
            info!("{} {} {}", n, 101.25, "text");
            info!(BLOCK_P, "m", n = n, px = 1.5, order = %Order(n, "note"));
            info!(BLOCK_D, "{} {}", n, u128::MAX, name = "text with\nescapes");
            info!(OLDEST_D, "{}", n);
            info!(NEWEST_P, "{}", n);
            if n % 1000 == 0 {
                info!(BLOCK_P, "{}", LONG);
                warn!(audit(), "{:?}", Order(n, "x"));
            }
        }
        kakashi::flush(support::WATCHDOG).expect("all is written");
    };
    log(2000);
    let before = kakashi::get_async_stats();
    WRITER_COUNTS.store(true, Ordering::SeqCst);
    log(40_000);
    kakashi::sync(support::WATCHDOG).expect("all is written");
    WRITER_COUNTS.store(false, Ordering::SeqCst);
    let passed = kakashi::get_async_stats().messages_written - before.messages_written;
    assert!(passed >= 100_000, "{passed}");
    assert_eq!(BY_WRITER.swap(0, Ordering::Relaxed), 0, "allocations of the writer");
    settle();
}

#[test]
fn the_writer_allocates_nothing_in_any_format() {
    const NAME: &str = "the_writer_allocates_nothing_in_any_format";
    if !support::is_child(NAME) {
        support::run_child(NAME);
        return;
    }
    let pattern =
        Format::pattern("{time} {level:>5} {thread:*^20} {message}{fields}").expect("it is a pattern");
    let formats = [
        Format::Json,
        Format::JsonOtel,
        Format::JsonEcs,
        Format::Logfmt,
        Format::Console,
        pattern,
        Format::Json,
    ];
    let builder = formats.into_iter().fold(kakashi::builder(), |builder, format| {
        builder.sink_with(Quiet, SinkOptions::default().format(format))
    });
    #[cfg(feature = "zones")]
    let builder = {
        let zone = kakashi::Zone::named("Australia/Lord_Howe").expect("tzdata is installed");
        builder.sink_with(Quiet, SinkOptions::default().zone(zone))
    };
    let _guard = builder.start().expect("the backend starts");
    let log = |rounds: u64| {
        for n in 0..rounds {
            info!(BLOCK_P, "{} {}", n, 101.25, n = n, px = 1e300, none = None::<u8>, order = %Order(n, "a \"note\""));
            info!(BLOCK_D, "{} {}", n, u128::MAX, level = "text with\nescapes", nan = f64::NAN, yes = true);
            info!(NEWEST_P, "{}", n);
            if n % 1000 == 0 {
                // With a line that does not fit.
                info!(BLOCK_P, "{0}{0}{0}{0}{0}{0}{0}{0}{0}", "\u{1}".repeat(30_000));
            }
        }
        kakashi::flush(support::WATCHDOG).expect("all is written");
    };
    log(2000);
    WRITER_COUNTS.store(true, Ordering::SeqCst);
    log(10_000);
    kakashi::sync(support::WATCHDOG).expect("all is written");
    WRITER_COUNTS.store(false, Ordering::SeqCst);
    support::assert_conserved();
    assert_eq!(BY_WRITER.swap(0, Ordering::Relaxed), 0, "allocations of the writer");
}
