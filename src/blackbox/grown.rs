//! How much of a batch a log file has got: what it has grown by since its place was noted.
#![forbid(unsafe_code)]

use std::fs::{DirEntry, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::view::{Staged, StagedPlace};

/// What a file has got of a batch.
pub(super) struct Got {
    /// Open, to be appended to if that was asked for.
    pub(super) file: File,
    /// Bytes of the batch, from its start.
    pub(super) bytes: usize,
    /// That is certain.
    pub(super) exact: bool,
    /// The file ends within a line.
    pub(super) torn: bool,
}

/// What a place's file has got. A file that is not under its path is the log only if it has what was written to it: its
/// number may be another file's by now.
pub(super) fn got(place: &StagedPlace, staged: &Staged, write: bool) -> io::Result<Got> {
    let found = open(&place.path, place, write).and_then(|file| look(file, place, staged));
    found.or_else(|error| {
        let folder = place.path.parent().ok_or(error)?;
        let is_it = |entry: &DirEntry| entry.ino() == place.inode;
        let moved = std::fs::read_dir(folder)?.take(100_000).flatten().filter(is_it).find_map(|entry| {
            let file = open(&entry.path(), place, write).ok()?;
            look(file, place, staged).ok().filter(|got| got.exact)
        });
        moved.ok_or_else(|| io::ErrorKind::NotFound.into())
    })
}

fn look(file: File, place: &StagedPlace, staged: &Staged) -> io::Result<Got> {
    let size = file.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    let torn = last != *b"\n";
    let expected = staged.bytes.get(place.from..).unwrap_or_default();
    if let Some(grown) = size.checked_sub(place.offset).map(|grown| grown as usize)
        && let Some(expected) = expected.get(..grown)
        && place.from + grown >= staged.taken
    {
        let mut there = vec![0; grown];
        file.read_exact_at(&mut there, place.offset)?;
        if there == expected {
            return Ok(Got { file, bytes: place.from + grown, exact: true, torn });
        }
    }
    Ok(Got { file, bytes: staged.taken, exact: false, torn })
}

/// What is at a path, if it is the file of the place.
fn open(path: &Path, place: &StagedPlace, write: bool) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .append(write)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)?;
    let data = file.metadata()?;
    let same = data.is_file() && (data.dev(), data.ino()) == (place.device, place.inode);
    if same { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
}
