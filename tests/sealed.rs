//! A prepared thread makes no system call, and a wait under `Block` makes one: the futex's.
//!
//! The threads here have given up the right to make any (seccomp): the first one ends the process. They leave by the one
//! that is left to them, a raw `exit`.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

#[path = "support/forms.rs"]
#[macro_use]
mod forms;
mod common;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::ledger::{Ledger, record};
use common::{Gate, HANG, Held, Over, alone, conserved, dispatch, scenario, size, until};
use kakashi::{
    Block, BlockFor, Channel, Clock, Deferred, DropNewest, DropOldest, Idle, LevelFilter, MemorySink,
    Preformatted, Sink, info,
};

kakashi::channel!(static BLOCK_P: Channel<128, 4096, 8, Block, Preformatted>);
kakashi::channel!(static BLOCK_D: Channel<64, 4096, 8, Block, Deferred>);
kakashi::channel!(static FOR_P: Channel<64, 4096, 8, BlockFor<1_000_000>, Preformatted>);
kakashi::channel!(static FOR_D: Channel<256, 2048, 8, BlockFor<1_000_000>, Deferred>);
// Mostly full.
kakashi::channel!(static NEWEST_P: Channel<64, 64, 8, DropNewest, Preformatted>);
kakashi::channel!(static NEWEST_D: Channel<128, 256, 8, DropNewest, Deferred>);
kakashi::channel!(static OLDEST_P: Channel<128, 256, 8, DropOldest, Preformatted>);
kakashi::channel!(static OLDEST_D: Channel<64, 64, 8, DropOldest, Deferred>);
kakashi::channel!(static FEW: Channel<64, 64, 4, Block>);
kakashi::channel!(static FEW_FOR: Channel<64, 64, 4, BlockFor<50_000_000>, Deferred>);

/// Counts lines.
struct Lines;

static LINES: AtomicU64 = AtomicU64::new(0);

impl Sink for Lines {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.fetch_add(bytes.iter().filter(|&&byte| byte == b'\n').count() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }
}

/// Leaves the calling thread the system calls of that list, and `exit`: any other ends the process by SIGSYS.
fn seal(allowed: &[libc::c_long]) {
    const fn statement(code: u32, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
    }
    // The system call's number is the first word.
    let mut filter = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for &call in allowed.iter().chain(&[libc::SYS_exit]) {
        filter.push(libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: call as u32,
        });
        filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    }
    filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program. The vector is leaked: freeing it could be a system call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        std::mem::forget(filter);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

/// Ends this thread, which holds nothing.
fn leave() -> ! {
    // SAFETY: nothing of the thread is used after it.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("the thread has ended")
}

/// Runs `body` on a thread that must not return, on memory that is never given back, and waits for its end.
fn on_thread(body: fn()) {
    extern "C" fn begin(body: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: `on_thread` gave a function of that type.
        unsafe { std::mem::transmute::<*mut libc::c_void, fn()>(body)() };
        std::ptr::null_mut()
    }
    // SAFETY: the thread gets a function, and is waited for.
    unsafe {
        let mut id = std::mem::zeroed();
        assert_eq!(libc::pthread_create(&mut id, std::ptr::null(), begin, body as *mut libc::c_void), 0);
        assert_eq!(libc::pthread_join(id, std::ptr::null_mut()), 0);
    }
}

fn prepare() {
    forms::owned();
    kakashi::prepare_thread().unwrap();
    forms::INNER.prepare_thread().unwrap();
    for prepared in [
        BLOCK_P.prepare_thread(),
        BLOCK_D.prepare_thread(),
        FOR_P.prepare_thread(),
        FOR_D.prepare_thread(),
        NEWEST_P.prepare_thread(),
        NEWEST_D.prepare_thread(),
        OLDEST_P.prepare_thread(),
        OLDEST_D.prepare_thread(),
    ] {
        prepared.unwrap();
    }
    kakashi::get_async_logger("audit");
}

/// Targets of `million`: eight channels, and a logger of the default one.
const TARGETS: u64 = 9;
/// Records of a round to them, those of the nested calls included.
const ROUND: u64 = TARGETS * (forms::SHORT_FORMS + forms::SHORT_INNER) + 1;

/// Set by the thread when it has come to its end.
static DONE: AtomicBool = AtomicBool::new(false);
static MADE: AtomicU64 = AtomicU64::new(0);

/// A million records of every form, to every policy and encoding; in debug builds fewer, since each is slow
/// (`KAKASHI_SEALED=1000000` makes it as many). Where a full ring would be a wait, it looks at the
/// statistics first, which is no system call either.
fn million() {
    let audit = kakashi::get_async_logger("audit");
    let wanted = size("KAKASHI_SEALED", if cfg!(debug_assertions) { 100_000 } else { 1_000_000 });
    // From here on nothing is asked of the kernel.
    SEAL.load(Ordering::Relaxed).then(|| seal(&[]));
    STRICT.load(Ordering::Relaxed).then(strict);
    let (mut made, mut round) = (0, 0);
    while made < wanted {
        while BLOCK_P.stats().fullest().max(BLOCK_D.stats().fullest()) > 0.25
            || FOR_P.stats().fullest().max(FOR_D.stats().fullest()) > 0.25
            || kakashi::stats().queue_size() > 2000
        {
            std::hint::spin_loop();
        }
        short_forms!(BLOCK_P, BLOCK_D, FOR_P, FOR_D, NEWEST_P, NEWEST_D, OLDEST_P, OLDEST_D, audit);
        info!("plain {}", round);
        made += ROUND;
        if round % 1000 == 0 {
            long_forms!(NEWEST_P, NEWEST_D, OLDEST_P, OLDEST_D);
            made += 4 * forms::LONG_FORMS;
        }
        round += 1;
    }
    MADE.store(made, Ordering::Relaxed);
    DONE.store(true, Ordering::Release);
    leave()
}

static SEAL: AtomicBool = AtomicBool::new(false);
static STRICT: AtomicBool = AtomicBool::new(false);

/// Runs `million` and accounts for it.
fn account() {
    prepare_and_run();
    assert!(DONE.load(Ordering::Acquire), "the thread was ended in the middle");
    kakashi::flush(HANG).unwrap();
    let stats = conserved();
    assert_eq!((stats.calls, stats.queue_size), (MADE.load(Ordering::Relaxed), 0), "{stats}");
    assert_eq!(stats.messages_dropped, stats.dropped.newest + stats.dropped.oldest, "{stats}");
    assert!(stats.dropped.newest > 0 && stats.dropped.oldest > 0 && stats.truncated > 0, "{stats}");
    for stats in [BLOCK_P.stats(), BLOCK_D.stats(), FOR_P.stats(), FOR_D.stats()] {
        let stats = stats.snapshot();
        assert_eq!((stats.messages_dropped, stats.blocked), (0, 0), "{stats}");
    }
    assert_eq!(LINES.load(Ordering::Relaxed), stats.messages_written + stats.notices, "{stats}");
    eprintln!("{stats}");
}

fn prepare_and_run() {
    on_thread(|| {
        prepare();
        million();
    });
}

#[test]
fn a_prepared_thread_makes_no_system_call() {
    alone("a_prepared_thread_makes_no_system_call", || {
        SEAL.store(true, Ordering::Relaxed);
        let guard =
            kakashi::builder().level(LevelFilter::Trace).idle(Idle::Spin).sink(Lines).start().unwrap();
        account();
        guard.shutdown(HANG).unwrap();
    });
}

/// Strict mode, the kernel's own: `read`, `write`, `exit` and the return from a signal handler, and nothing else. It
/// also takes the time stamp counter away, which is no system call: the trap's handler gives a counter in its place,
/// which another thread advances.
#[cfg(target_arch = "x86_64")]
mod strictly {
    use super::*;

    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static TRAPS: AtomicU64 = AtomicU64::new(0);

    fn advance() {
        // SAFETY: every x86_64 processor has RDTSC.
        COUNTER.store(unsafe { core::arch::x86_64::_rdtsc() }, Ordering::Relaxed);
    }

    /// Takes the place of RDTSC and RDTSCP; of any other trap the process dies, by the same one again.
    extern "C" fn counter(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel gives the context; its instruction pointer points to what has trapped.
        unsafe {
            let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
            let at = registers[libc::REG_RIP as usize] as *const u8;
            let length = match [*at, *at.add(1), *at.add(2)] {
                [0x0F, 0x31, _] => 2,
                [0x0F, 0x01, 0xF9] => 3,
                _ => core::arch::asm!("ud2", options(noreturn)),
            };
            let count = COUNTER.load(Ordering::Relaxed);
            TRAPS.fetch_add(1, Ordering::Relaxed);
            registers[libc::REG_RAX as usize] = (count & 0xFFFF_FFFF) as i64;
            registers[libc::REG_RDX as usize] = (count >> 32) as i64;
            registers[libc::REG_RIP as usize] += length;
        }
    }

    pub fn enter() {
        // SAFETY: gives up all system calls but four.
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) };
    }

    fn run(name: &str, clock: Clock) {
        alone(name, || {
            // SAFETY: the handler lives as long as the program, and calls nothing.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = counter as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO;
                libc::sigemptyset(&mut action.sa_mask);
                assert_eq!(libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()), 0);
            }
            STRICT.store(true, Ordering::Relaxed);
            let guard =
                kakashi::builder().level(LevelFilter::Trace).clock(clock).sink(Lines).start().unwrap();
            advance();
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        advance();
                        std::thread::yield_now();
                    }
                });
                let _over = Over(&over);
                account();
            });
            eprintln!("{} traps", TRAPS.load(Ordering::Relaxed));
            let traps = TRAPS.load(Ordering::Relaxed);
            assert!(traps > 0, "the counter was not taken away");
            assert!(clock != Clock::Counter || traps >= MADE.load(Ordering::Relaxed), "{traps} traps");
            guard.shutdown(HANG).unwrap();
        });
    }

    #[test]
    fn a_prepared_thread_lives_in_strict_mode() {
        run("strictly::a_prepared_thread_lives_in_strict_mode", Clock::Coarse);
    }

    #[test]
    fn a_prepared_thread_that_reads_the_counter_lives_in_strict_mode() {
        run("strictly::a_prepared_thread_that_reads_the_counter_lives_in_strict_mode", Clock::Counter);
    }
}

fn strict() {
    #[cfg(target_arch = "x86_64")]
    strictly::enter();
}

static GATE: std::sync::OnceLock<Gate> = std::sync::OnceLock::new();

/// A backend whose writer hangs.
fn start_held() -> (kakashi::Guard, Gate, MemorySink) {
    let (gate, entered, memory) = (GATE.get_or_init(Gate::closed).clone(), Gate::closed(), MemorySink::new());
    let guard = kakashi::builder().sink(Held::new(&gate, &entered, &memory)).start().unwrap();
    record!(BLOCK_P, 0, 0);
    entered.wait();
    (guard, gate, memory)
}

#[test]
fn child() {
    dispatch(&[
        ("a system call", |_| {
            on_thread(|| {
                seal(&[]);
                // SAFETY: asks for the process's id.
                unsafe { libc::syscall(libc::SYS_getpid) };
                leave();
            });
        }),
        ("up to a full ring", |_| {
            let _held = start_held();
            on_thread(|| {
                FEW.prepare_thread().unwrap();
                FEW_FOR.prepare_thread().unwrap();
                seal(&[]);
                (0..64).for_each(|_| info!(FEW, "x"));
                (0..64).for_each(|_| info!(FEW_FOR, "x"));
                leave();
            });
            std::process::exit(if kakashi::stats().queue_size() == 129 { 7 } else { 1 });
        }),
        ("beyond a full ring, Block", |_| {
            let _held = start_held();
            on_thread(|| {
                FEW.prepare_thread().unwrap();
                seal(&[]);
                (0..65).for_each(|_| info!(FEW, "x"));
                leave();
            });
        }),
        ("beyond a full ring, BlockFor", |_| {
            let _held = start_held();
            on_thread(|| {
                FEW_FOR.prepare_thread().unwrap();
                seal(&[]);
                (0..65).for_each(|_| info!(FEW_FOR, "x"));
                leave();
            });
        }),
        ("beyond a full ring, with a futex", |_| {
            let (guard, gate, memory) = start_held();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    on_thread(|| {
                        FEW.prepare_thread().unwrap();
                        FEW_FOR.prepare_thread().unwrap();
                        // Where the C library cannot read the clock by itself, it asks the kernel for it.
                        seal(&[libc::SYS_futex, libc::SYS_clock_gettime]);
                        (0..2000).for_each(|n| record!(FEW, 1, n));
                        (0..2000).for_each(|n| record!(FEW_FOR, 2, n));
                        leave();
                    });
                });
                // In the futex, not only at it.
                until("the call waits", || FEW.lanes().any(|lane| lane.occupied > lane.slots - 4));
                until("it sleeps", asleep_in_a_futex);
                gate.open();
            });
            guard.shutdown(HANG).unwrap();
            let ledger = Ledger::of(&memory.lines());
            (1..3).for_each(|from| ledger.has_all(from, 2000));
            let stats = ledger.settle(4001);
            assert!(stats.blocked > 0 && stats.messages_dropped == 0, "{stats}");
        }),
    ]);
}

/// Whether a thread that is not the writer's is in the wait that a full ring leads to, by the kernel's word: a sealed
/// thread's seccomp mode is 2, and its state is S.
fn asleep_in_a_futex() -> bool {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
        .any(|status| status.contains("\nSeccomp:\t2") && status.contains("State:\tS"))
}

/// That the seal holds: a system call ends the process.
#[test]
fn the_seal_ends_a_process_that_makes_a_system_call() {
    let ended = scenario("a system call").run();
    assert_eq!(ended.status.signal(), Some(libc::SIGSYS), "{ended}");
}

/// The documented exception: a call under `Block` and `BlockFor` that finds the ring full sleeps on a futex.
#[test]
fn a_wait_for_room_is_a_futex_and_nothing_else() {
    let ended = scenario("up to a full ring").run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    for name in ["beyond a full ring, Block", "beyond a full ring, BlockFor"] {
        let ended = scenario(name).run();
        assert_eq!(ended.status.signal(), Some(libc::SIGSYS), "{name}: {ended}");
    }
    let ended = scenario("beyond a full ring, with a futex").run();
    assert!(ended.status.success(), "{ended}");
}
