//! A log call allocates nothing, from a thread's first one to the thread's end; nor does the writer, once it runs;
//! and a prepared thread makes no system call.
//!
//! Allocations are counted twice: by Rust's global allocator, and by functions that take the place of the C
//! library's own (`malloc` and its like), through which also go the allocations of the C library itself.
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use kakashi::{
    Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, Guard, Idle, Logger, Preformatted, Sink,
    info, warn,
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
fn start(idle: Idle) -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    static BACKEND: OnceLock<Guard> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    BACKEND.get_or_init(|| kakashi::builder().sink(Quiet).idle(idle).start().expect("the backend starts"));
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

/// A value that is a text by its `Display` and `Debug` only.
#[derive(Clone, Copy)]
struct Order<'a>(u64, &'a str);

impl fmt::Display for Order<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order-{} {:.2} {}", self.0, 101.256, self.1)
    }
}

impl fmt::Debug for Order<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("id", &self.0).field("note", &self.1).finish()
    }
}

/// A `Display` that fails.
struct Failing;

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("begun")?;
        Err(fmt::Error)
    }
}

/// A `Display` that logs.
struct Nested;

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!(BLOCK_D, "nested {:?}", Order(1, LONG));
        f.write_str("outer")
    }
}

const LONG: &str = match std::str::from_utf8(&[b'x'; 100_000]) {
    Ok(text) => text,
    Err(_) => "",
};

/// Every form of a statement, with every type of value.
macro_rules! every_form {
    ($($target:expr),*) => {$(
        let target = &$target;
        let (qty, px, name, some, none) = (7_u32, 101.25, "text", Some("some"), None::<u64>);
        let order = Order(7, "note");
        info!(target, "static text");
        info!(target, "{} {} {} {} {} {}", u8::MAX, u16::MAX, u32::MAX, u64::MAX, usize::MAX, u128::MAX);
        info!(target, "{} {} {} {} {} {}", i8::MIN, i16::MIN, i32::MIN, i64::MIN, isize::MIN, i128::MIN);
        info!(target, "{} {} {} {} {}", px, 0.1_f32, f64::NAN, f64::MAX, 5e-324);
        info!(target, "{} {} {} {}", true, 'x', name, "é\n\x1b[0m");
        info!(target, "{qty} {px:.2} {name:>10} {qty:#x} {order} {order:?} {order:#?} {:e} {:p}", px, name);
        info!(target, "{:>1$.2$}", px, 12, 3);
        info!(target, "{:.*}", 2, px);
        info!(target, "fields", qty = qty, px = px, name = name, some = some, none = none, yes = true, c = ' ');
        info!(target, "fields {qty}", qty = qty, debug = ?some, display = %order, order = order);
        info!(target, "{}", Failing);
        info!(target, "{} {}", Nested, "more");
        warn!(target, "{}", LONG);
        info!(target, "{}", LONG[..3000]);
        info!(target, "{} {}", Order(1, LONG), LONG);
        info!(target, "long", text = LONG, debug = ?LONG, display = %LONG);
    )*};
}

/// Every form, on every policy and encoding, first calls included.
fn everything() {
    every_form!(
        BLOCK_P,
        BLOCK_D,
        FOR_P,
        FOR_D,
        NEWEST_P,
        NEWEST_D,
        OLDEST_P,
        OLDEST_D,
        SHARED_BLOCK,
        SHARED_NEWEST,
        SHARED_OLDEST,
        SHARED_FOR,
        audit()
    );
    info!("plain {}", 1);
    info!("plain {:?}", Order(1, "x"), k = ?Some(1));
    kakashi::debug!("off {}", 1);
    assert!(kakashi::stats().calls() > 0 && kakashi::stats().fullest() <= 1.0);
    assert!(BLOCK_P.lanes().count() > 0);
}

fn audit() -> Logger {
    kakashi::get_async_logger("audit")
}

// ---- tests ----

#[test]
fn both_counts_count() {
    let _turn = start(Idle::Backoff);
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
    let _turn = start(Idle::Backoff);
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
    assert!(stats.truncated > 0 && stats.calls > 4 * 13 * 16, "{stats}");
}

#[test]
fn threads_without_a_lane_allocate_nothing() {
    let _turn = start(Idle::Backoff);
    // Whoever has the lanes keeps them while the counted thread logs; both may be threads of an earlier test.
    let _ = (SHARED_BLOCK.prepare_thread(), SHARED_NEWEST.prepare_thread());
    let _ = (SHARED_OLDEST.prepare_thread(), SHARED_FOR.prepare_thread());
    for _ in 0..3 {
        on_counted_thread(|| {
            every_form!(SHARED_BLOCK, SHARED_NEWEST, SHARED_OLDEST, SHARED_FOR);
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
    let _turn = start(Idle::Backoff);
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
fn the_writer_allocates_nothing_in_steady_state() {
    let _turn = start(Idle::Backoff);
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

/// No way out but by a raw `exit` of the thread: every other system call ends the process.
///
/// A filter, and not strict mode (`SECCOMP_MODE_STRICT`): that also forbids to read the time stamp counter, which
/// is no system call.
fn forbid_system_calls() {
    const fn statement(code: u32, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
    }
    let exit = libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: 1,
        k: libc::SYS_exit as u32,
    };
    let mut filter = [
        // The system call's number is the first word.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        exit,
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

fn exit_thread() -> ! {
    // SAFETY: ends this thread, which holds nothing.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("the thread has ended")
}

const SEALED_ROUNDS: u64 = 100_000;

/// A thread that may make no system call any more: 100,000 records of several forms.
fn sealed() {
    NEWEST_D.prepare_thread().expect("there is a lane");
    OLDEST_P.prepare_thread().expect("there is a lane");
    let order = Order(7, "note");
    forbid_system_calls();
    for n in 0..SEALED_ROUNDS / 10 {
        info!(NEWEST_D, "static text");
        info!(NEWEST_D, "{} {} {}", n, 101.25, "text");
        info!(NEWEST_D, "fields", n = n, none = None::<u8>, some = Some("text"));
        info!(NEWEST_D, "{order} {order:?}", k = ?Some(n));
        info!(NEWEST_D, "{}", LONG[..(n as usize % 5000)]);
        info!(OLDEST_P, "static text");
        info!(OLDEST_P, "{} {} {}", n, 1.0 / n as f64, i128::MIN);
        info!(OLDEST_P, "{} {}", order, LONG[..(n as usize % 700)]);
        info!(OLDEST_P, "{}", LONG);
        info!(OLDEST_P, "{} {}", Failing, Nested2);
    }
    exit_thread();
}

/// A `Display` that logs to a channel that the thread has prepared.
struct Nested2;

impl fmt::Display for Nested2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!(OLDEST_P, "nested {:>3}", 1);
        f.write_str("outer")
    }
}

#[test]
fn a_prepared_thread_makes_no_system_call() {
    const NAME: &str = "a_prepared_thread_makes_no_system_call";
    if !support::is_child(NAME) {
        support::run_child(NAME);
        return;
    }
    let _turn = start(Idle::Spin);
    let before = kakashi::get_async_stats();
    let thread = spawn(sealed, true);
    join(thread);
    assert_eq!(BY_CALLERS.swap(0, Ordering::Relaxed), 0);
    settle();
    let stats = kakashi::get_async_stats();
    assert_eq!(stats.calls - before.calls, SEALED_ROUNDS + SEALED_ROUNDS / 10, "{stats}");
    assert!(stats.messages_written > before.messages_written, "{stats}");
    assert_eq!(stats.dropped.newest + stats.dropped.oldest, stats.messages_dropped, "{stats}");
}

/// That the seal holds: a system call ends the process.
#[test]
fn the_seal_ends_a_process_that_makes_a_system_call() {
    // SAFETY: the child makes nothing but system calls, and ends by the first one that is forbidden.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        forbid_system_calls();
        // SAFETY: asks for the process's id.
        unsafe { libc::syscall(libc::SYS_getpid) };
        exit_thread();
    }
    assert!(pid > 0, "no child");
    let mut status = 0;
    // SAFETY: the child is ours, and the status is written to.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS, "status {status:#x}");
}
