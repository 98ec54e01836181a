//! How much of a batch a log file has got: what it has grown by since its place was noted.
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
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

pub(super) fn got(place: &StagedPlace, staged: &Staged, write: bool) -> io::Result<Got> {
    let file = find(place, write)?;
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

/// The file of a place: under its path, or under another name in the same folder.
fn find(place: &StagedPlace, write: bool) -> io::Result<File> {
    let open = |path: &Path| {
        let file = OpenOptions::new()
            .read(true)
            .append(write)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(path)?;
        let data = file.metadata()?;
        let same = data.is_file() && (data.dev(), data.ino()) == (place.device, place.inode);
        if same { Ok(file) } else { Err(io::Error::from(io::ErrorKind::NotFound)) }
    };
    open(&place.path).or_else(|error| {
        let folder = place.path.parent().ok_or(error)?;
        for entry in std::fs::read_dir(folder)?.take(100_000).flatten() {
            if std::os::unix::fs::DirEntryExt::ino(&entry) == place.inode
                && let Ok(file) = open(&entry.path())
            {
                return Ok(file);
            }
        }
        Err(io::ErrorKind::NotFound.into())
    })
}
