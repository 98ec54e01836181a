//! What is done with a log's old files, on a thread of its own: they are compressed, and those beyond a limit removed.
//!
//! Whatever moment the process dies at, nothing of a log is lost or doubled by it: a compressed file gets its name when all
//! of it is on the disk, and only then is the other one removed; what is left undone, the next process does. A file that
//! somebody still has locked (a writer that could not go on in a new one, another process's keeper) is left alone.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};

use super::rotation::{Old, Retention, old_files};
use crate::{clock, cores};

/// What is to be done with the old files of the log at `path`.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) path: PathBuf,
    pub(super) keep: Retention,
    /// Compress them, into files with these permission bits.
    pub(super) compress: Option<u32>,
}

/// The thread, as a sink knows it. It ends when this is dropped and what was begun is done.
#[derive(Debug)]
pub(super) struct Keeper {
    look: SyncSender<()>,
    errors: Receiver<io::Error>,
}

impl Keeper {
    /// Begins with what an earlier process has left.
    pub(super) fn start(plan: Plan) -> io::Result<Self> {
        // One request is enough for all files that there are.
        let (look, asked) = mpsc::sync_channel(1);
        let (failed, errors) = mpsc::sync_channel(1);
        let _ = look.try_send(());
        std::thread::Builder::new().name("kakashi-files".to_owned()).spawn(move || {
            cores::stay_behind();
            cores::unpin();
            while asked.recv().is_ok() {
                if let Err(error) = tidy(&plan) {
                    // One that was not asked for yet is enough, too.
                    let _ = failed.try_send(error);
                }
            }
        })?;
        Ok(Keeper { look, errors })
    }

    /// There is a new old file.
    pub(super) fn look(&self) {
        let _ = self.look.try_send(());
    }

    /// What has failed since this was asked last.
    pub(super) fn error(&self) -> Option<io::Error> {
        self.errors.try_recv().ok()
    }
}

fn tidy(plan: &Plan) -> io::Result<()> {
    let mut failed = None;
    if let Some(mode) = plan.compress {
        for old in old_files(&plan.path)?.iter().filter(|old| !old.compressed) {
            if let Err(error) = compress(mode, old) {
                failed = Some(error);
            }
        }
    }
    let old = old_files(&plan.path)?;
    let now = clock::wall_ns().div_euclid(1000);
    for old in plan.keep.beyond(&old, now) {
        let is_free = old.compressed || File::open(&old.path).is_ok_and(|file| file.try_lock().is_ok());
        if is_free && let Err(error) = fs::remove_file(&old.path) {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

#[cfg(feature = "compress")]
fn compress(mode: u32, old: &Old) -> io::Result<()> {
    use std::fs::{OpenOptions, TryLockError};
    use std::os::unix::fs::OpenOptionsExt;

    use super::rotation::{folder, with_end};

    let in_use = |locked: Result<(), TryLockError>| matches!(locked, Err(TryLockError::WouldBlock));
    let mut from = File::open(&old.path)?;
    if in_use(from.try_lock()) {
        return Ok(());
    }
    let done = with_end(&old.path, ".gz");
    if !done.exists() {
        let unfinished = with_end(&done, ".tmp");
        let mut options = OpenOptions::new();
        let to = options.write(true).create(true).truncate(false).mode(mode).open(&unfinished)?;
        if in_use(to.try_lock()) {
            return Ok(());
        }
        to.set_len(0)?;
        let mut packed =
            flate2::write::GzEncoder::new(io::BufWriter::new(to), flate2::Compression::default());
        io::copy(&mut from, &mut packed)?;
        let to = packed.finish()?.into_inner()?;
        to.sync_all()?;
        fs::rename(&unfinished, &done)?;
    }
    File::open(folder(&old.path))?.sync_all()?;
    fs::remove_file(&old.path)
}

#[cfg(not(feature = "compress"))]
fn compress(_: u32, _: &Old) -> io::Result<()> {
    Ok(())
}
