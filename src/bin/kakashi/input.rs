//! The files to be replayed, in memory once, and where their lines begin.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::Failure;

/// One file.
#[derive(Debug)]
pub struct Source {
    pub path: PathBuf,
    pub bytes: u64,
    /// Lines that were not UTF-8: they have U+FFFD in place of what was not.
    pub lossy_lines: u64,
    /// Device and inode.
    identity: (u64, u64),
    text: String,
    /// Where each line begins, and where one more would.
    starts: Vec<usize>,
    /// Lines of the files before this one.
    first: u64,
}

impl Source {
    pub fn lines(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    /// A line without its end; `at` counts from 0.
    fn line(&self, at: usize) -> &str {
        let line = &self.text[self.starts[at]..self.starts[at + 1]];
        line.strip_suffix('\n').unwrap_or(line)
    }
}

/// All files, as one sequence of lines.
#[derive(Debug)]
pub struct Input {
    pub sources: Vec<Source>,
    pub lines: u64,
}

/// One line of the input.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub text: &'a str,
    /// The file, from 1.
    pub file: u32,
    /// The line in it, from 1.
    pub line: u64,
}

impl Input {
    pub fn read(paths: &[PathBuf]) -> Result<Input, Failure> {
        let mut input = Input { sources: Vec::new(), lines: 0 };
        for path in paths {
            let source = read(path, input.lines)
                .map_err(|why| Failure::new(format_args!("cannot replay `{}`: {why}", path.display())))?;
            input.lines += source.lines();
            input.sources.push(source);
        }
        Ok(input)
    }

    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.bytes).sum()
    }

    /// Every line `i` with `i % threads == thread`, in order.
    pub fn share(&self, thread: u32, threads: u32) -> impl Iterator<Item = Line<'_>> {
        let (thread, threads) = (u64::from(thread), u64::from(threads));
        self.sources.iter().zip(1..).flat_map(move |(source, file)| {
            let first = (thread + threads - source.first % threads) % threads;
            (first..source.lines()).step_by(threads as usize).map(move |at| Line {
                text: source.line(at as usize),
                file,
                line: at + 1,
            })
        })
    }

    /// The place of a line among all lines, from 0, and its text.
    pub fn find(&self, file: u64, line: u64) -> Option<(u64, &str)> {
        let source = self.sources.get(usize::try_from(file).ok()?.checked_sub(1)?)?;
        let at = line.checked_sub(1).filter(|&at| at < source.lines())?;
        Some((source.first + at, source.line(at as usize)))
    }

    /// The file and line, both from 1, of the line at that place among all.
    pub fn place(&self, index: u64) -> (usize, u64) {
        let file = self.sources.partition_point(|source| source.first <= index);
        let first = file.checked_sub(1).map_or(0, |at| self.sources[at].first);
        (file, index - first + 1)
    }

    /// The input file with that identity.
    pub fn with_identity(&self, device: u64, inode: u64) -> Option<&Path> {
        let found = self.sources.iter().find(|source| source.identity == (device, inode));
        found.map(|source| source.path.as_path())
    }
}

fn read(path: &Path, first: u64) -> Result<Source, String> {
    let (bytes, identity) = contents(path)?;
    let size = bytes.len() as u64;
    let (text, lossy_lines) = match String::from_utf8(bytes) {
        Ok(text) => (text, 0),
        Err(error) => {
            let lines = error.as_bytes().split(|&byte| byte == b'\n');
            let lossy = lines.filter(|line| str::from_utf8(line).is_err()).count();
            (String::from_utf8_lossy(error.as_bytes()).into_owned(), lossy as u64)
        }
    };
    let starts = starts(&text);
    if starts.len() < 2 {
        return Err("it is empty: give a file with at least one line".to_owned());
    }
    Ok(Source { path: path.to_owned(), bytes: size, lossy_lines, identity, text, starts, first })
}

fn contents(path: &Path) -> Result<(Vec<u8>, (u64, u64)), String> {
    let advice = |error| format!("{error}: give the path of a readable log file");
    // Asked before it is opened: opening a device may wait, or do something.
    let kind = std::fs::metadata(path).map_err(advice)?.file_type();
    if kind.is_dir() {
        return Err("it is a directory: give the log files in it".to_owned());
    }
    if kind.is_char_device() || kind.is_block_device() {
        return Err("it is a device: give a log file".to_owned());
    }
    let mut file = File::open(path).map_err(advice)?;
    let metadata = file.metadata().map_err(advice)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(advice)?;
    Ok((bytes, (metadata.dev(), metadata.ino())))
}

fn starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
    if !text.is_empty() && !text.ends_with('\n') {
        starts.push(text.len());
    }
    starts
}

#[cfg(test)]
impl Input {
    /// An input of texts, as if each was read from a file.
    pub fn of(texts: &[&str]) -> Input {
        let mut input = Input { sources: Vec::new(), lines: 0 };
        for &text in texts {
            let source = Source {
                path: PathBuf::new(),
                bytes: text.len() as u64,
                lossy_lines: 0,
                identity: (0, 0),
                text: text.to_owned(),
                starts: starts(text),
                first: input.lines,
            };
            input.lines += source.lines();
            input.sources.push(source);
        }
        input
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_a_newline_or_at_the_end() {
        let lines =
            |text| Input::of(&[text]).share(0, 1).map(|line| line.text.to_owned()).collect::<Vec<_>>();
        assert!(lines("").is_empty());
        assert_eq!(lines("\n"), [""]);
        assert_eq!(lines("a\n\nb\r\n"), ["a", "", "b\r"]);
        assert_eq!(lines("a\nb"), ["a", "b"]);
    }

    #[test]
    fn the_threads_share_all_lines() {
        let input = Input::of(&["0\n1\n2\n", "3\n", "4\n5\n6\n7"]);
        for threads in 1..10 {
            let mut seen = Vec::new();
            for thread in 0..threads {
                let mut last = None;
                for line in input.share(thread, threads) {
                    let (index, text) = input.find(line.file.into(), line.line).unwrap();
                    assert_eq!((text, text.parse()), (line.text, Ok(index)));
                    assert_eq!(input.place(index), (line.file as usize, line.line));
                    assert_eq!(index % u64::from(threads), u64::from(thread));
                    assert!(last < Some(index));
                    last = Some(index);
                    seen.push(index);
                }
            }
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..8));
        }
        for (file, line) in [(0, 1), (1, 0), (1, 4), (4, 1), (u64::MAX, u64::MAX)] {
            assert!(input.find(file, line).is_none());
        }
    }
}
