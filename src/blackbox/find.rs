//! The black box of a process.
#![forbid(unsafe_code)]

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::view::View;
use crate::error::BlackBoxError;

/// The box of a running process, by its number: among the files that it has open, the one that says to be its own. Its
/// path may lie in another root, or be gone: it is opened through `/proc`.
///
/// # Errors
/// When there is no such process, when its files may not be looked at, and when it has no black box.
pub fn find(pid: u32) -> Result<View, BlackBoxError> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let failed = |source: io::Error| {
        let missing = source.kind() == io::ErrorKind::NotFound;
        let source = if missing {
            io::Error::new(
                source.kind(),
                format!("there is no process {pid}; what a dead one has left is found by its box's path"),
            )
        } else {
            source
        };
        BlackBoxError::Io { path: folder.clone(), doing: "look for", source }
    };
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let link = entry.map_err(failed)?.path();
        if is_candidate(&link)
            && let Ok(view) = View::open(&link)
            && view.is_of(pid)
        {
            return Ok(match path_of(&link) {
                Some(path) => view.named(path),
                None => view,
            });
        }
    }
    let why = "the process has no black box: its program must ask for one by `builder().black_box(path)`"
        .to_owned();
    Err(BlackBoxError::Foreign { path: format!("/proc/{pid}").into(), why })
}

/// The path behind the link, if it leads to the same file from here: it is there when the process is gone.
fn path_of(link: &Path) -> Option<PathBuf> {
    let path = std::fs::read_link(link).ok()?;
    let (there, ours) = (std::fs::metadata(&path).ok()?, std::fs::metadata(link).ok()?);
    ((there.dev(), there.ino()) == (ours.dev(), ours.ino())).then_some(path)
}

/// Whether it may be a box: opening a device or a pipe could have an effect.
fn is_candidate(link: &Path) -> bool {
    std::fs::metadata(link).is_ok_and(|data| data.is_file())
}
