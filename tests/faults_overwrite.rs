//! Millions of records are written over before the reader has come to them, and while it reads them: not one that it
//! gives out is torn.
//!
//! `KAKASHI_RECORDS=100000000` makes it as many, best with `--release`.

mod common;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use common::ledger::{Ledger, record};
use common::{HANG, alone, conserved, size};
use kakashi::{Channel, Deferred, DropOldest, Sink};

// Records of up to three slots, in rings that the producers go around in microseconds.
kakashi::channel!(static OLDEST: Channel<64, 64, 2, DropOldest>);
kakashi::channel!(static OLDEST_D: Channel<64, 16, 2, DropOldest, Deferred>);

/// Reads what it is given, line by line, which is slower than the producers are; the text is not kept.
#[derive(Clone, Default)]
struct Reader(Arc<Mutex<Ledger>>);

impl Sink for Reader {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = str::from_utf8(bytes).expect("UTF-8");
        assert!(text.ends_with('\n'), "a batch is whole lines");
        text.lines().for_each(|line| ledger.add(line));
        Ok(bytes.len())
    }
}

#[test]
fn of_what_is_overwritten_nothing_is_torn() {
    alone("of_what_is_overwritten_nothing_is_torn", || {
        let each = size("KAKASHI_RECORDS", 1_000_000) / 4;
        let reader = Reader::default();
        let guard = kakashi::builder().sink(reader.clone()).start().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                scope.spawn(move || {
                    for n in 0..each {
                        record!(OLDEST, thread, n);
                        record!(OLDEST_D, thread + 2, n);
                    }
                });
            }
        });
        kakashi::flush(HANG).expect("the reader has found no fault");
        guard.shutdown(HANG).unwrap();
        let stats = conserved();
        let ledger = reader.0.lock().unwrap();
        ledger.settle(each * 4);
        assert_eq!(
            (stats.dropped.oldest, ledger.told),
            (stats.messages_dropped, stats.messages_dropped),
            "{stats}"
        );
        assert!(stats.messages_dropped > 0 && (0..4).all(|maker| ledger.from(maker).1 == each), "{stats}");
        eprintln!("{stats}");
    });
}
