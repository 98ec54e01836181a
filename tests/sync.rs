//! A `sync` that answers `Ok` has had `fdatasync` of the log, and of the files that were closed since the last one: when
//! the kernel refuses that call (seccomp), `sync` says so.

mod common;

use std::io;
use std::path::Path;

use common::ledger::{Ledger, record};
use common::{Directory, HANG, SURE, alone, lines_of};
use kakashi::{FileSink, FlushError};

/// The descriptor by which this process has `path` open.
fn descriptor_of(path: &Path) -> u32 {
    let open = std::fs::read_dir("/proc/self/fd").expect("the kernel lists the descriptors");
    let mut named = open.map(|entry| entry.expect("it is listed").path()).filter(|link| {
        // The one by which they are listed is gone.
        std::fs::read_link(link).is_ok_and(|target| target == path)
    });
    let number = named.next().expect("the log is open");
    assert!(named.next().is_none(), "the log is open once");
    number.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("a number")
}

/// From here on, `fdatasync` of this process's threads is EIO, but for the descriptor `spared`.
fn refuse_fdatasync(spared: Option<u32>) {
    const fn statement(code: u32, jt: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt, jf: 0, k }
    }
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const IS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let mut filter = [
        // The system call's number, and the lower half of its first argument. No descriptor is `u32::MAX`.
        statement(LOAD, 0, 0),
        statement(IS, 1, libc::SYS_fdatasync as u32),
        statement(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        statement(LOAD, 0, 16),
        statement(IS, 1, spared.unwrap_or(u32::MAX)),
        statement(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::EIO as u32),
        statement(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let (operation, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_TSYNC);
        assert_eq!(
            libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program),
            0,
            "{}",
            io::Error::last_os_error()
        );
    }
}

#[track_caller]
fn assert_refused() {
    match kakashi::sync(HANG) {
        Err(FlushError::Sink(error)) => assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}"),
        other => panic!("nothing is durable, and sync says {other:?}"),
    }
}

#[test]
fn sync_has_the_log_written_to_the_disk() {
    alone("sync_has_the_log_written_to_the_disk", || {
        let directory = Directory::new();
        let log = directory.file("log");
        let guard = kakashi::builder().sink(FileSink::create(&log)).start().unwrap();
        record!(SURE, 1, 0);
        kakashi::sync(HANG).unwrap();
        refuse_fdatasync(None);
        record!(SURE, 1, 1);
        assert_refused();
        // It is written all the same, and the sink goes on.
        record!(SURE, 1, 2);
        kakashi::flush(HANG).unwrap();
        assert_refused();
        guard.shutdown(HANG).unwrap();
        let ledger = Ledger::of(&lines_of(&log));
        ledger.has_all(1, 3);
        assert_eq!(ledger.settle(3).messages_dropped, 0);
    });
}

#[test]
fn sync_has_closed_files_written_to_the_disk_too() {
    alone("sync_has_closed_files_written_to_the_disk_too", || {
        let directory = Directory::new();
        let (log, old) = (directory.file("log"), directory.file("old"));
        let guard = kakashi::builder().sink(FileSink::create(&log)).start().unwrap();
        record!(SURE, 1, 0);
        kakashi::flush(HANG).unwrap();
        // The log's descriptor keeps its number, which is all that may be synced.
        let spared = descriptor_of(&std::fs::canonicalize(&log).unwrap());
        refuse_fdatasync(Some(spared));
        kakashi::sync(HANG).unwrap();
        std::fs::rename(&log, &old).unwrap();
        kakashi::reopen(HANG).unwrap();
        record!(SURE, 1, 1);
        kakashi::flush(HANG).unwrap();
        assert_eq!(descriptor_of(&std::fs::canonicalize(&log).unwrap()), spared);
        assert_refused();
        // It is not forgotten by a sync that failed.
        assert_refused();
        guard.shutdown(HANG).unwrap();
        let mut lines = lines_of(&old);
        lines.extend(lines_of(&log));
        Ledger::of(&lines).has_all(1, 2);
    });
}
