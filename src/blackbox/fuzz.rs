//! A box whose bytes are changed anywhere: whatever is read of it does no harm.

use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;

use super::follow::{Event, Follow};
use super::tables;
use super::view::View;
use crate::channel::channels;
use crate::format::Format;
use crate::held;
use crate::journal::SinkEntry;
use crate::lane::LaneHead;
use crate::region::{self, MAGIC, RegionHeader};

/// A box with a record in the first lane, and a line in the first sink's staging.
struct Sample {
    /// What is not zero: where, and the bytes.
    parts: Vec<(u64, Vec<u8>)>,
    len: u64,
    /// Where something interesting is.
    places: Vec<u64>,
}

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let tables = tables::encode();
        let plan = region::plan(tables.len(), true);
        let (mut parts, mut places, mut backs) = (Vec::new(), Vec::new(), Vec::new());
        let mut put = |at: usize, bytes: &[u8]| parts.push((at as u64, bytes.to_vec()));
        let header = core::mem::offset_of!(RegionHeader, tables);
        let journal = core::mem::offset_of!(RegionHeader, journal);
        let [staging, names] = [plan.staging(), plan.names()];
        put(0, &MAGIC);
        put(8, &region::VERSION.to_le_bytes());
        put(12, &(size_of::<RegionHeader>() as u32).to_le_bytes());
        put(16, &(plan.bytes as u64).to_le_bytes());
        let words =
            [region::TABLES as u64, tables.len() as u64, tables::hash(&tables), names as u64, staging as u64];
        words.iter().enumerate().for_each(|(at, word)| put(header + at * 8, &word.to_le_bytes()));
        put(header + 40, &(region::channel_offsets(plan).next().unwrap_or(0) as u64).to_le_bytes());
        put(region::TABLES, &tables);
        // One sink: used, its level, its batch, bytes staged, records, bytes taken.
        let line = b"2026-11-23T11:54:34.123456789Z INFO  fuzz src/fuzz.rs:1 [main] staged\n";
        put(journal, &1_u64.to_le_bytes());
        put(journal + 128, &(1_u64 | 5 << 32).to_le_bytes());
        [1, line.len() as u64, 1, 3].iter().enumerate().for_each(|(at, word)| {
            put(journal + 136 + at * 8, &word.to_le_bytes());
        });
        // Its zone: an hour behind UTC, and from 2026-11-23 on one before it.
        let zone = journal + 128 + core::mem::offset_of!(SinkEntry, zone);
        [2, 0xFFC4, 1_795_392_000 << 16 | 60].iter().enumerate().for_each(|(at, word): (usize, &u64)| {
            put(zone + at * 8, &word.to_le_bytes());
        });
        put(staging, line);
        for (channel, lane) in channels().zip(region::channel_offsets(plan)) {
            let shape = channel.shape();
            let ring = lane + shape.ring;
            put(lane, &1_u32.to_le_bytes());
            put(ring + shape.layout.write, &2_u64.to_le_bytes());
            put(ring + shape.layout.published, &2_u64.to_le_bytes());
            for slot in 0..2 {
                put(ring + shape.layout.slots + slot * shape.slot_bytes, &1_u64.to_le_bytes());
            }
            // Held back: a frame of four words.
            let back = lane + shape.held;
            put(back + held::END, &4_u64.to_le_bytes());
            put(back + held::FRAMES_AT, &4_u64.to_le_bytes());
            places.extend(
                [lane, lane + size_of::<LaneHead>(), ring, ring + shape.layout.slots].map(|at| at as u64),
            );
            backs.push(back as u64);
        }
        places
            .extend([0, header, journal, journal + 128, region::TABLES, names, staging].map(|at| at as u64));
        // Behind the others, whose numbers the corpus has.
        places.extend(backs);
        Sample { parts, len: plan.bytes as u64, places }
    })
}

/// `bytes` are changes: each a place (one byte), a distance from it (two), a length (one), and what stands there then.
/// The last byte of all says whether the file is cut short.
pub fn black_box(bytes: &[u8]) {
    let sample = sample();
    // SAFETY: a name, and no flags; the descriptor is ours alone.
    let file = unsafe {
        let descriptor = libc::memfd_create(c"box".as_ptr(), libc::MFD_CLOEXEC);
        assert!(descriptor >= 0, "a file in memory can be made");
        File::from_raw_fd(descriptor)
    };
    file.set_len(sample.len).expect("it can be as long");
    let write = |at: u64, bytes: &[u8]| file.write_all_at(bytes, at).expect("it can be written");
    sample.parts.iter().for_each(|(at, bytes)| write(*at, bytes));
    let mut rest = bytes;
    while let [place, low, high, len, more @ ..] = rest {
        let len = usize::from(*len).min(more.len());
        let at = sample.places[usize::from(*place) % sample.places.len()];
        write(at + u64::from(u16::from_le_bytes([*low, *high])), &more[..len]);
        rest = &more[len..];
    }
    if let [cut] = rest {
        file.set_len(sample.len >> (cut % 16)).expect("it can be cut");
    }
    let Ok(view) = View::of(file, Path::new("fuzz")) else { return };
    let _ = (view.life(), view.damage(), view.stats(), view.lane_stats(), view.sinks());
    let mut text = Vec::new();
    if let Ok(report) = super::print(&view, &mut text) {
        let _ = report.message(&view);
    }
    let text = String::from_utf8(text);
    // What stands in staging is passed on as it is; what is rendered here is whole lines of UTF-8.
    if let Ok(text) = text {
        assert!(text.is_empty() || text.ends_with('\n'));
    }
    let _ = super::print_held(&view, Format::Text, &mut Vec::new());
    view.follow(Follow::Held, &mut |event| match event {
        Event::Line { text, .. } => {
            assert!(core::str::from_utf8(text).is_ok_and(|text| text.ends_with('\n')));
            true
        }
        Event::Missed(_) => true,
        _ => false,
    });
}
