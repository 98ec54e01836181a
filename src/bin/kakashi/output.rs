//! Where the log is written.
#![forbid(unsafe_code)]

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use kakashi::{FileSink, Place, Sink, SinkId};

use crate::Failure;
use crate::input::Input;

/// A file: one that was asked for, or a temporary one, which goes when this does.
pub struct Output {
    path: PathBuf,
    temporary: Option<PathBuf>,
    fault: Arc<OnceLock<String>>,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.path.display())
    }
}

impl Output {
    /// The file that was asked for, or a new one.
    pub fn choose(asked: Option<&Path>, input: &Input) -> Result<Output, Failure> {
        let (path, temporary) = match asked {
            Some(path) => {
                check(path, input).map_err(|why| {
                    Failure::new(format_args!("cannot write to `{}`: {why}", path.display()))
                })?;
                (path.to_owned(), None)
            }
            None => {
                let directory = temporary_directory()?;
                (directory.join("replayed.log"), Some(directory))
            }
        };
        Ok(Output { path, temporary, fault: Arc::default() })
    }

    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    pub fn sink(&self) -> ReplaySink {
        ReplaySink { file: FileSink::create(&self.path), fault: Arc::clone(&self.fault) }
    }

    /// Whether a write failed.
    pub fn has_failed(&self) -> bool {
        self.fault.get().is_some()
    }

    pub fn failure(&self) -> Option<Failure> {
        let fault = self.fault.get()?;
        Some(Failure::new(format_args!("cannot write to {self}: {fault}: choose a place with room by --out")))
    }

    pub fn read(&self) -> Result<BufReader<File>, Failure> {
        File::open(&self.path)
            .map(|file| BufReader::with_capacity(1 << 20, file))
            .map_err(|error| Failure::new(format_args!("cannot read {self} back: {error}")))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(directory) = &self.temporary {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// Refuses what would be lost, and what cannot be read back.
fn check(path: &Path, input: &Input) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) => match input.with_identity(metadata.dev(), metadata.ino()) {
            Some(file) => Err(format!(
                "it is the input `{}`, which would be lost: give --out another path",
                file.display()
            )),
            None if metadata.is_dir() => Err("it is a directory: give --out the path of a file".to_owned()),
            None if !metadata.is_file() => {
                Err("it is no regular file, and could not be read back: give --out another path".to_owned())
            }
            None => Ok(()),
        },
        // Whoever opens it will see what is the matter.
        Err(_) => Ok(()),
    }
}

fn temporary_directory() -> Result<PathBuf, Failure> {
    let within = std::env::temp_dir();
    let mut number = 0;
    loop {
        let path = within.join(format!("kakashi-replay-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
            Err(error) => {
                return Err(Failure::new(format_args!(
                    "cannot make a directory in `{}`: {error}: set TMPDIR, or name a file by --out",
                    within.display()
                )));
            }
        }
    }
}

/// The file's sink, but for this: where the backend would try a failed write again for as long as it takes,
/// the replay is over.
pub struct ReplaySink {
    file: FileSink,
    fault: Arc<OnceLock<String>>,
}

impl Sink for ReplaySink {
    fn open(&mut self) -> io::Result<()> {
        self.file.open()
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_batch(bytes).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            let _ = self.fault.set(error.to_string());
            // The kind that retires a sink.
            io::ErrorKind::BrokenPipe.into()
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    fn identity(&self) -> Option<SinkId> {
        self.file.identity()
    }

    fn place(&self) -> Option<Place<'_>> {
        self.file.place()
    }

    fn name(&self) -> String {
        self.file.name()
    }
}
