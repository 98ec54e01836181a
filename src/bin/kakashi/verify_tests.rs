//! The verifier, given outputs in which one thing is wrong.
#![forbid(unsafe_code)]

use super::*;
use crate::args::Encoding;

const TEXTS: [&str; 2] = ["GET / 200\n\tb\x1b[0m\n日本語 line=3\n\n", "d\ne\nf\n"];

fn options(threads: u32, repeat: u32, policy: Policy) -> Options {
    Options {
        files: Vec::new(),
        threads,
        policy,
        encoding: Encoding::Deferred,
        rate: None,
        repeat,
        latency_sample: 16,
        out: None,
        black_box: None,
    }
}

/// What a flawless logger writes, line by line.
fn flawless(input: &Input, options: &Options) -> Vec<String> {
    let mut lines = Vec::new();
    for pass in 0..options.repeat {
        for index in 0..input.lines {
            let (file, line) = input.place(index);
            let (_, text) = input.find(file as u64, line).unwrap();
            let text = text.replace('\t', "\\t").replace('\x1b', "\\x1b");
            let (target, location) = (replay::channel_name(options), replay::LOCATION);
            lines.push(format!(
                "2026-11-23T11:54:34.{:09}Z INFO  {target} {location}:42 [replay-{}] {text} file={file} line={line} pass={pass}",
                lines.len() + 7,
                index % u64::from(options.threads),
            ));
        }
    }
    lines
}

fn notice(message: &str) -> String {
    format!("2026-11-23T11:54:34.000000000Z WARN  kakashi - [kakashi-writer] {message}")
}

/// What a logger that wrote `lines` counts, if it has dropped those.
fn counts(lines: &[String], dropped: &[(&str, u64)]) -> Counts {
    let notices = lines.iter().filter(|line| line.contains(" kakashi - ")).count() as u64;
    let written = lines.len() as u64 - notices;
    Counts {
        calls: written + dropped.iter().map(|(_, count)| count).sum::<u64>(),
        written,
        dropped: dropped.iter().map(|&(cause, count)| (cause.to_owned(), count)).collect(),
        truncated: 0,
        late: 0,
        notices,
        bytes: lines.iter().map(|line| line.len() as u64 + 1).sum(),
    }
}

fn verify(input: &Input, options: &Options, lines: &[String], counts: &Counts) -> Verdict {
    let mut verifier = Verifier::new(input, options).unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    verifier.read(text.as_bytes()).unwrap();
    verifier.finish(counts)
}

/// Says what is wrong with `lines`, which must be something, and that `told` is among it.
fn refuse(input: &Input, options: &Options, lines: &[String], counts: &Counts, told: &str) {
    let verdict = verify(input, options, lines, counts);
    assert!(!verdict.holds(), "{told}: {lines:#?}");
    let text = verdict.to_string();
    assert!(text.starts_with("NOT VERIFIED: "), "{text}");
    assert!(text.contains(told), "{told}: {text}");
}

/// Gives `doctor` a flawless output of two threads in two passes, and sees the result refused.
fn doctored(told: &str, doctor: impl FnOnce(&mut Vec<String>)) {
    let input = Input::of(&TEXTS);
    let options = options(2, 2, Policy::Block);
    let mut lines = flawless(&input, &options);
    let counts = counts(&lines, &[]);
    doctor(&mut lines);
    refuse(&input, &options, &lines, &counts, told);
}

#[test]
fn a_flawless_output_is_verified() {
    for threads in 1..10 {
        for policy in [Policy::Block, Policy::BlockFor, Policy::DropNewest, Policy::DropOldest] {
            let (input, options) = (Input::of(&TEXTS), options(threads, 3, policy));
            let lines = flawless(&input, &options);
            let verdict = verify(&input, &options, &lines, &counts(&lines, &[]));
            assert_eq!(verdict.to_string(), "verified: 21 of 21 records in the file");
            assert!(verdict.holds());
        }
    }
}

#[test]
fn a_missing_line_is_refused() {
    doctored("line 1 of file 2 is missing in pass 0", |lines| drop(lines.remove(4)));
    doctored("13 records are written or counted as dropped, and 14 were logged", |lines| drop(lines.pop()));
    doctored("0 records are written", Vec::clear);
}

#[test]
fn a_doubled_line_is_refused() {
    doctored("line 3 of file 1 is there twice in pass 0", |lines| lines.insert(3, lines[2].clone()));
    doctored("line 3 of file 1 is there twice in pass 0", |lines| lines.push(lines[2].clone()));
    doctored("line 1 of file 1 is there twice in pass 1", |lines| {
        lines[0] = lines[0].replace("pass=0", "pass=1")
    });
}

#[test]
fn swapped_lines_of_a_thread_are_refused() {
    doctored("comes after line 3 of file 1 of the same thread", |lines| {
        let (a, b) = (lines[0].split_off(TIME), lines[2].split_off(TIME));
        lines[0] += &b;
        lines[2] += &a;
    });
    doctored("of the same thread", |lines| {
        let (a, b) = (lines[1].split_off(TIME), lines[8].split_off(TIME));
        lines[1] += &b;
        lines[8] += &a;
    });
}

#[test]
fn lines_out_of_the_order_of_time_must_be_counted_as_late() {
    doctored("1 lines are older than one before them, and 0 are counted as late", |lines| lines.swap(0, 1));

    let (input, options) = (Input::of(&TEXTS), options(2, 1, Policy::Block));
    let mut lines = flawless(&input, &options);
    lines.swap(0, 1);
    let counted = Counts { late: 1, ..counts(&lines, &[]) };
    assert!(verify(&input, &options, &lines, &counted).holds());
}

#[test]
fn altered_text_is_refused() {
    doctored("the text is", |lines| lines[0] = lines[0].replace("GET", "PUT"));
    doctored("the text is", |lines| lines[0] = lines[0].replace("200", "200 "));
    doctored("the text is", |lines| lines[1] = lines[1].replace("\\x1b", "\x1b"));
    doctored("the text is", |lines| lines[2] = lines[2].replace("日", "目"));
    doctored("the text is", |lines| lines[3] = lines[3].replace("]  file", "] x file"));
}

#[test]
fn a_line_of_another_form_is_refused() {
    doctored("a time was expected", |lines| lines[3].insert(0, ' '));
    doctored("a time was expected", |lines| lines.push(String::new()));
    doctored("the field `pass` at the end was expected", |lines| lines[0] += " ");
    doctored("the channel's name was expected", |lines| lines[0] = lines[0].replace("REPLAY_BLOCK", "other"));
    doctored("there is no line 5 of file 1", |lines| lines[0] = lines[0].replace("line=1", "line=5"));
    doctored("there is no line 1 of file 3", |lines| lines[0] = lines[0].replace("file=1", "file=3"));
    doctored("there is no line 1 of file 1 in pass 2", |lines| {
        lines[0] = lines[0].replace("pass=0", "pass=2")
    });
    doctored("replay-1 wrote line 1 of file 1, which is replay-0's", |lines| {
        lines[0] = lines[0].replace("replay-0", "replay-1");
    });
    doctored("replay-7 wrote", |lines| lines[0] = lines[0].replace("replay-0", "replay-7"));
}

#[test]
fn a_torn_last_line_is_refused() {
    let (input, options) = (Input::of(&TEXTS), options(1, 1, Policy::Block));
    let lines = flawless(&input, &options);
    let mut verifier = Verifier::new(&input, &options).unwrap();
    verifier.read(lines.join("\n").as_bytes()).unwrap();
    let verdict = verifier.finish(&counts(&lines, &[]));
    assert!(verdict.to_string().contains("it is the last one, and has no end"), "{verdict}");
}

#[test]
fn wrong_counts_are_refused() {
    let (input, options) = (Input::of(&TEXTS), options(1, 1, Policy::BlockFor));
    let lines = flawless(&input, &options);
    let right = counts(&lines, &[]);
    for (wrong, told) in [
        (Counts { calls: 8, ..right.clone() }, "8 calls are counted, and 7 were made"),
        (Counts { written: 6, ..right.clone() }, "6 records are counted as written, and 7 are in the file"),
        (Counts { notices: 1, ..right.clone() }, "1 lines of the logger's own are counted, and 0"),
        (Counts { bytes: right.bytes + 1, ..right.clone() }, "bytes are counted as written"),
        (Counts { truncated: 1, ..right.clone() }, "0 texts are cut, and 1 are counted as truncated"),
        (
            Counts { dropped: vec![("wait_expired".into(), 1)], ..right.clone() },
            "8 records are written or counted",
        ),
    ] {
        refuse(&input, &options, &lines, &wrong, told);
    }
}

#[test]
fn drops_must_be_counted_told_and_allowed() {
    let input = Input::of(&TEXTS);
    let told = "dropped 2 records of thread replay-0 (12) in channel X: newest=2 from 2026 to 2026";
    let lines = |options: &Options, message: &str| {
        let mut lines = flawless(&input, options);
        lines.drain(2..4);
        lines.insert(2, notice(message));
        lines
    };

    let newest = options(1, 1, Policy::DropNewest);
    let good = lines(&newest, told);
    let verdict = verify(&input, &newest, &good, &counts(&good, &[("newest", 2)]));
    assert_eq!(verdict.to_string(), "verified: 5 of 7 records in the file, 2 dropped (newest=2)");

    let refuse = |options: &Options, message: &str, dropped: &[(&str, u64)], expected: &str| {
        let lines = lines(options, message);
        super::tests::refuse(&input, options, &lines, &counts(&lines, dropped), expected);
    };
    refuse(&newest, told, &[], "5 records are written or counted as dropped, and 7 were logged");
    refuse(&newest, told, &[], "the log tells of 2 records dropped as newest, and none is counted");
    refuse(&newest, told, &[("newest", 1)], "6 records are written or counted as dropped, and 7 were logged");
    refuse(&newest, told, &[("sink", 2)], "2 records were dropped as sink, which this policy must not");
    refuse(&newest, &told.replace('2', "1"), &[("newest", 2)], "and the log tells of 1");
    refuse(
        &newest,
        &told.replace("dropped 2", "dropped 3"),
        &[("newest", 2)],
        "it tells of 3 drops, and of 2",
    );
    refuse(&newest, "all is well", &[("newest", 2)], "and the log tells of 0");
    for policy in [Policy::Block, Policy::BlockFor, Policy::DropOldest] {
        refuse(
            &options(1, 1, policy),
            told,
            &[("newest", 2)],
            "dropped as newest, which this policy must not",
        );
    }
    let expired = told.replace("newest", "wait_expired");
    refuse(&options(1, 1, Policy::Block), &expired, &[("wait_expired", 2)], "which this policy must not");

    let waits = options(1, 1, Policy::BlockFor);
    let good = lines(&waits, &expired);
    assert!(verify(&input, &waits, &good, &counts(&good, &[("wait_expired", 2)])).holds());
    let shared = options(65, 1, Policy::BlockFor);
    let good = lines(&shared, &told.replace("newest", "no_lane"));
    assert!(verify(&input, &shared, &good, &counts(&good, &[("no_lane", 2)])).holds());
}

#[test]
fn a_cut_text_must_be_counted() {
    let text = "x".repeat(100_000);
    let (input, options) = (Input::of(&[&text]), options(1, 1, Policy::Block));
    let mut lines = flawless(&input, &options);
    lines[0] = lines[0].replace(&text, &format!("{}…[+30000 bytes]", &text[..70_000]));
    let right = Counts { truncated: 1, ..counts(&lines, &[]) };
    assert_eq!(verify(&input, &options, &lines, &right).cut, 1);
    assert!(verify(&input, &options, &lines, &right).holds());
    refuse(&input, &options, &lines, &counts(&lines, &[]), "1 texts are cut, and 0 are counted as truncated");
    lines[0] = lines[0].replace("+30000", "+29999");
    refuse(&input, &options, &lines, &right, "the text is");
}

#[test]
fn few_of_many_mismatches_are_told() {
    let (input, options) = (Input::of(&TEXTS), options(1, 30, Policy::Block));
    let lines: Vec<_> =
        flawless(&input, &options).iter().map(|line| line.replace("INFO ", "WARN ")).collect();
    let verdict = verify(&input, &options, &lines, &counts(&lines, &[])).to_string();
    assert!(verdict.starts_with("NOT VERIFIED: 217 mismatches, the first:\n  output line 1: "), "{verdict}");
    assert_eq!(verdict.lines().count(), 1 + TOLD);
}
