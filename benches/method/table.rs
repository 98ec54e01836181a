//! Tables of latencies, and medians.

use super::{SHARES, at_share};

/// The line above rows of percentiles; `last` is what the last column is called, if there is one.
pub fn heading(title: &str, last: &str) {
    print!("{title:<48}");
    for (_, name) in SHARES {
        print!(" {name:>8}");
    }
    println!(" {last:>8}");
}

/// A row of percentiles of `samples`, which it sorts; in the last column their median over `floor`.
pub fn row(name: &str, samples: &mut [f64], floor: Option<f64>) {
    if samples.is_empty() {
        return println!("{name:<48} no samples");
    }
    samples.sort_unstable_by(f64::total_cmp);
    print!("{name:<48}");
    for (share, _) in SHARES {
        print!(" {:>8.1}", at_share(samples, share));
    }
    match floor {
        Some(floor) if floor > 0.0 => println!(" {:>7.2}x", at_share(samples, 0.5) / floor),
        _ => println!(),
    }
}

/// The median, of a list that it sorts.
pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    at_share(samples, 0.5)
}
