//! Versions of the contenders, from the lock file that this program was built with.

#![forbid(unsafe_code)]

const LOCK: &str = include_str!("../Cargo.lock");

/// `name version`, or the name alone when the lock file does not know it.
pub fn of(name: &str) -> String {
    let mut lines = LOCK.lines();
    let wanted = format!("name = \"{name}\"");
    let version = lines
        .by_ref()
        .find(|line| *line == wanted)
        .and_then(|_| lines.next()?.strip_prefix("version = \"")?.strip_suffix('"'));
    version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_is_in_the_lock_file() {
        for one in crate::loggers::all() {
            for name in one.crates {
                assert_ne!(of(name), *name, "{name} has no version");
            }
        }
    }
}
