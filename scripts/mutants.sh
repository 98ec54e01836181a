#!/usr/bin/env bash
# Weakens the rings, the lanes and the journal, one ordering, check or step at a time, in a copy of the sources, and shows
# which of loom's models, or of the tests that die after each store, notices. A mutant that none catches makes the script
# fail, and so does one that does not apply to the sources any more.
#
#   scripts/mutants.sh            all of them, some ten minutes
#   scripts/mutants.sh floor      those whose name contains "floor"
#   scripts/mutants.sh --check    only whether each still applies to the sources; builds nothing
set -euo pipefail
cd "$(dirname "$0")/.."

only=${1:-} check=
if [[ $only == --check ]]; then
    only='' check=yes
fi
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
target="${CARGO_TARGET_DIR:-$PWD/target}"
failed=0 tried=0

# The times of the files are those of the copy, so that cargo builds anew.
fresh() {
    rm -rf "${copy:?}"/*
    git ls-files -co --exclude-standard -z -- . ':!fuzz' | tar --null -cf - --ignore-failed-read -T - | tar -xmf - -C "$copy"
}

# What looks at a mutant: `models` are loom's, `stepped` is the test of that name.
look() {
    cd "$copy"
    case $checker in
    models)
        RUSTFLAGS="--cfg kakashi_loom" LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3} \
            CARGO_TARGET_DIR=$target/mutants timeout 900 cargo test -q --release --lib "$@" -- models
        ;;
    stepped) CARGO_TARGET_DIR=$target/mutants-stepped timeout 900 cargo test -q --test stepped "$@" ;;
    esac
}

# Prints the names of what fails in the copy.
failing() {
    (look) >"$copy/run.log" 2>&1 || true
    sed -n 's/^    \(\S*models::\S*\|every_\S*\)$/\1/p' "$copy/run.log" | sort -u
}

# From here on, mutants are shown to the checker $1.
with() {
    checker=$1 unchanged=
}

# Asks the checker without any change, once: what it finds then is left out.
ask_first() {
    [[ -z $unchanged ]] || return 0
    fresh
    unchanged=$(failing)
    grep -q '^test result' "$copy/run.log" || { tail -20 "$copy/run.log"; exit 1; }
    if [[ -n $unchanged ]]; then
        printf 'FAILS without any change, and is left out below: %s\n' $unchanged
        failed=1
    else
        unchanged="(none)"
    fi
}

# applies NAME FILE OLD: OLD stands exactly once in FILE, whose text is left in `text`.
applies() {
    text=$(cat "$2")
    local rest=${text#*"$3"}
    if [[ $rest == "$text" || $rest == *"$3"* ]]; then
        echo "STALE    $1: its text stands not exactly once in $2"
        failed=1
        return 1
    fi
}

# run NAME FILE OLD NEW: makes a copy, replaces the one occurrence of OLD, and has it looked at. Sets `caught` to
# what fails, and does not fail unchanged.
run() {
    local file=$2 text
    applies "$@" || return 1
    if [[ -n $check ]]; then
        tried=$((tried + 1))
        return 1
    fi
    ask_first
    fresh
    printf '%s\n' "${text/"$3"/"$4"}" >"$copy/$file"
    if ! (look --no-run) >"$copy/build.log" 2>&1; then
        echo "BROKEN   $1: it does not compile"
        grep -m3 -A3 '^error' "$copy/build.log" || true
        failed=1
        return 1
    fi
    caught=$(failing | grep -vxF "$unchanged" | sed 's/.*models:://' | paste -sd, | sed 's/,/, /g' || true)
    tried=$((tried + 1))
}

# mutant NAME FILE OLD NEW: something must fail.
mutant() {
    [[ $1 == *"$only"* ]] || return 0
    run "$@" || return 0
    if [[ -n $caught ]]; then
        echo "caught   $1: $caught"
    else
        echo "MISSED   $1"
        failed=1
    fi
}

# redundant NAME FILE OLD NEW: nothing fails, for the reason given beside the call. Shown, so that the reason
# is looked at again when something does.
redundant() {
    [[ $1 == *"$only"* ]] || return 0
    run "$@" || return 0
    if [[ -z $caught ]]; then
        echo "survives $1, as it should"
    else
        echo "CAUGHT   $1, which was held to be redundant: $caught"
        failed=1
    fi
}

with models
spsc=src/ring/spsc.rs over=src/ring/overwrite.rs lane=src/lane.rs

# The ring that refuses.
mutant "spsc: publication Relaxed" $spsc \
    'side.position.store(end, Ordering::Release);' 'side.position.store(end, Ordering::Relaxed);'
mutant "spsc: read position Relaxed" $spsc \
    'Self::move_to(&self.consumer, value);' \
    'let position = load_owned(&self.consumer.position); self.consumer.position.store(position + (value.wrapping_sub(position as usize) & Self::MASK) as u64, Ordering::Relaxed);'
mutant "spsc: consumer looks Relaxed" $spsc \
    'self.producer.position.load(Ordering::Acquire) as usize' 'self.producer.position.load(Ordering::Relaxed) as usize'
mutant "spsc: producer looks Relaxed" $spsc \
    'self.ring().consumer.position.load(Ordering::Acquire)' 'self.ring().consumer.position.load(Ordering::Relaxed)'
mutant "spsc: limit a slot too far" $spsc \
    'self.limit = self.reader_position() + N as u64;' 'self.limit = self.reader_position() + N as u64 + 1;'
mutant "spsc: no filler" $spsc 'slots > 1 && slots > to_end' 'slots > 1 && slots > to_end + N'

# The ring that overwrites; the letters are those of its proof.
mutant "overwrite: publication Relaxed" $over \
    'side.write.store(end, Ordering::Release)' 'side.write.store(end, Ordering::Relaxed)'
mutant "overwrite: poll Relaxed" $over \
    'self.snapshot = self.ring.producer.write.load(Ordering::Acquire)' \
    'self.snapshot = self.ring.producer.write.load(Ordering::Relaxed)'
mutant "overwrite: A, floor not raised" $over \
    'side.floor.store(self.floor, Ordering::Relaxed);' ''
mutant "overwrite: A, floor raised too little" $over \
    'side.floor.store(self.floor, Ordering::Relaxed);' \
    'side.floor.store(self.floor.saturating_sub(1), Ordering::Relaxed);'
mutant "overwrite: a slot too many is free" $over \
    'end > read + N as u64 {' 'end > read + N as u64 + 1 {'
mutant "overwrite: B, words Relaxed" $over \
    'store(word, Ordering::Release)' 'store(word, Ordering::Relaxed)'
mutant "overwrite: B, sequence number Relaxed" $over \
    '        self.ring.word(position, 0).store(self.sequence(), Ordering::Release);
        let dest' \
    '        self.ring.word(position, 0).store(self.sequence(), Ordering::Relaxed);
        let dest'
mutant "overwrite: B, filler Relaxed" $over \
    'self.ring.word(position, PREFIX).store(Frame::filler(filler).0, Ordering::Release)' \
    'self.ring.word(position, PREFIX).store(Frame::filler(filler).0, Ordering::Relaxed)'
mutant "overwrite: C, sequence number Relaxed" $over \
    'let sequence = self.ring.word(self.read, 0).load(Ordering::Acquire)' \
    'let sequence = self.ring.word(self.read, 0).load(Ordering::Relaxed)'
mutant "overwrite: C, frame word Relaxed" $over \
    'Frame(self.ring.word(self.read, PREFIX).load(Ordering::Acquire))' \
    'Frame(self.ring.word(self.read, PREFIX).load(Ordering::Relaxed))'
mutant "overwrite: C, payload Relaxed" $over \
    'ring.word(read, PREFIX + at * 8).load(Ordering::Acquire)' \
    'ring.word(read, PREFIX + at * 8).load(Ordering::Relaxed)'
mutant "overwrite: D, no look at the floor" $over \
    'if self.ring.producer.floor.load(Ordering::Relaxed) > self.read' 'if false'
mutant "overwrite: slots evicted one by one" $over \
    'self.floor += frame.slots().clamp(1, N) as u64;' \
    'self.floor += frame.slots().clamp(1, 1) as u64;'
mutant "overwrite: missed frames not counted" $over \
    'missed: sequence.wrapping_sub(self.sequence)' 'missed: 0'

# Both loads are followed by others that order what matters.
# The floor: a frame below the snapshot happens before the poll; D, not this load, tells what is newer.
redundant "overwrite: the first look at the floor Relaxed" $over \
    'self.read.max(self.ring.producer.floor.load(Ordering::Acquire))' \
    'self.read.max(self.ring.producer.floor.load(Ordering::Relaxed))'
# The read position: a word that the producer stores after it has seen the position cannot be read by a copy
# made before the position was stored, since C would read from its own future.
redundant "overwrite: release Relaxed" $over \
    'released.store(self.read, Ordering::Release)' \
    'released.store(self.read, Ordering::Relaxed)'

# The lane.
mutant "lane: release Relaxed" $lane \
    'self.owner.store(RELEASED, Ordering::Release)' 'self.owner.store(RELEASED, Ordering::Relaxed)'
mutant "lane: the writer's look Relaxed" $lane \
    'self.owner.load(Ordering::Acquire)' 'self.owner.load(Ordering::Relaxed)'
mutant "lane: claimed by load and store" $lane \
    'self.owner.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_err()' \
    'self.owner.load(Ordering::Acquire) != FREE || { self.owner.store(CLAIMED, Ordering::Relaxed); false }'
mutant "lane: drops by load and store" $lane \
    'self.0[cause as usize].fetch_add(by, Ordering::Relaxed);' 'add_owned(&self.0[cause as usize], by);'
mutant "lane: claim Relaxed" $lane \
    'compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed)' \
    'compare_exchange(FREE, CLAIMED, Ordering::Relaxed, Ordering::Relaxed)'
mutant "lane: freeing Relaxed" $lane \
    'self.owner.store(FREE, Ordering::Release)' 'self.owner.store(FREE, Ordering::Relaxed)'

# The handshake between a caller that waits for room and the writer.
mutant "waiting: announced by a store" $lane \
    'waiting.swap(1, Ordering::AcqRel);' 'waiting.store(1, Ordering::Release);'
mutant "waiting: announced Relaxed" $lane \
    'waiting.swap(1, Ordering::AcqRel);' 'waiting.swap(1, Ordering::Relaxed);'
mutant "waiting: no look after the announcement" $lane \
    'if has_room() {' 'if false && has_room() {'
mutant "waiting: the writer's swap Relaxed" $lane \
    'if waiting.swap(0, Ordering::AcqRel) != 0 {' 'if waiting.swap(0, Ordering::Relaxed) != 0 {'
mutant "waiting: nobody woken" $lane \
    'futex::wake_all(waiting);' ''

# The lock, flushes, and the consumer side's owner.
desk=src/desk.rs futex=src/futex.rs owner=src/ownership.rs backend=src/models/backend.rs
mutant "lock: taken Relaxed" $futex \
    '.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)' \
    '.compare_exchange(FREE, HELD, Ordering::Relaxed, Ordering::Relaxed)'
mutant "lock: taken Relaxed after a sleep" $futex \
    'self.word.swap(CONTENDED, Ordering::Acquire)' 'self.word.swap(CONTENDED, Ordering::Relaxed)'
mutant "lock: opened Relaxed" $futex \
    'self.lock.word.swap(FREE, Ordering::Release)' 'self.lock.word.swap(FREE, Ordering::Relaxed)'
mutant "lock: nobody woken" $futex \
    'wake(&self.lock.word, 1);' ''
mutant "lock: a sleeper does not say so" $futex \
    'self.word.swap(CONTENDED, Ordering::Acquire)' 'self.word.swap(HELD, Ordering::Acquire)'
mutant "flush: number drawn Relaxed" $desk \
    'self.drawn.store(book.drawn, Ordering::Release);' 'self.drawn.store(book.drawn, Ordering::Relaxed);'
mutant "flush: the writer's look Relaxed" $desk \
    'self.drawn.load(Ordering::Acquire)' 'self.drawn.load(Ordering::Relaxed)'
mutant "flush: all that is drawn is done" $desk \
    'book.done = book.done.max(upto);' 'book.done = book.drawn;'
mutant "flush: the lanes before the number" $backend \
    '    let Some(number) = flushed.desk.pending() else { return };
    let records = drain(consumer);' \
    '    let records = drain(consumer);
    let Some(number) = flushed.desk.pending() else { return };'
mutant "owner: passed by a store" $owner \
    'self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()' \
    '{ let is = self.0.load(Ordering::Acquire) == from; if is { self.0.store(to, Ordering::Release); } is }'
mutant "owner: passed Relaxed" $owner \
    'self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()' \
    'self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()'
mutant "owner: moving is not told" $owner 'moving: word == MOVING' 'moving: false'
mutant "owner: noted after the step" $backend \
    '            self.next.store(records, Ordering::Relaxed);
            self.batch_read.store(consumer.position(), Ordering::Relaxed);
            if !self.ownership.pass(OWN, MOVING) {
                return;
            }' \
    '            if !self.ownership.pass(OWN, MOVING) {
                return;
            }
            self.next.store(records, Ordering::Relaxed);
            self.batch_read.store(consumer.position(), Ordering::Relaxed);'

# The journal.
journal=src/journal.rs
mutant "publication: sealed Relaxed" $journal 'self.sealed.store(batch, Ordering::Release);' \
    'self.sealed.store(batch, Ordering::Relaxed);'
mutant "publication: what is staged Relaxed" $journal \
    'self.staged.store(bytes as u64, Ordering::Release);' 'self.staged.store(bytes as u64, Ordering::Relaxed);'
mutant "publication: a lane's position Relaxed" $lane \
    'self.writer.batch_read.store(read, Ordering::Release);' 'self.writer.batch_read.store(read, Ordering::Relaxed);'

# Its steps, and a recovery's.
with stepped
recover=src/blackbox/recover.rs

mutant "journal: sealed before the lanes are noted" src/writer/mod.rs \
    'if sinks.stage(batch) | self.lanes.note_batch(batch) {' \
    'journal.seal(batch); if sinks.stage(batch) | self.lanes.note_batch(batch) {'
mutant "journal: rings move on before the batch is sealed" src/writer/mod.rs \
    '            self.seal(sinks);
            sinks.seal();
            tenure::moving();' \
    '            self.lanes.release();
            self.seal(sinks);
            sinks.seal();
            tenure::moving();'
mutant "journal: a lane's position before its batch's number" src/lane.rs \
    '        self.writer.batch.store(batch, Ordering::Release);
        self.writer.batch_read.store(read, Ordering::Release);' \
    '        self.writer.batch_read.store(read, Ordering::Release);
        self.writer.batch.store(batch, Ordering::Release);'
mutant "journal: staged before its batch's number" $journal \
    '        self.batch.store(batch, Ordering::Release);
        self.taken.store(0, Ordering::Release);' \
    '        self.taken.store(0, Ordering::Release);
        self.batch.store(batch, Ordering::Release);'
mutant "journal: a place counts before it is whole" $journal \
    'let place = &self.places[other - 1];' \
    'let place = &self.places[other - 1]; self.place.store(other as u64, Ordering::Release);'
mutant "journal: no place noted before the second write" src/writer/outlet.rs \
    '            self.note_place();
            let rest' \
    '            if self.taken == 0 { self.note_place(); }
            let rest'
mutant "journal: taken noted before the write" src/writer/outlet.rs \
    'let result = catch_unwind(AssertUnwindSafe(|| sink.write_batch(rest)));' \
    'if let Some(entry) = self.entry { entry.note_taken(self.staged); }
            let result = catch_unwind(AssertUnwindSafe(|| sink.write_batch(rest)));'
mutant "recovery: sealed before the lanes are noted" $recover \
    '            for lane in moved.iter().map(|&lane| &merged.lanes[lane]) {
                self.put(lane.notes.batch,' \
    '            journal.seal(batch);
            for lane in moved.iter().map(|&lane| &merged.lanes[lane]) {
                self.put(lane.notes.batch,'
mutant "recovery: clean before the last batch is written" $recover \
    '            for (at, text) in texts.iter().enumerate() {
                recovery.give' \
    '            if last { header.end.store(CLEAN, Ordering::Release); }
            for (at, text) in texts.iter().enumerate() {
                recovery.give'
mutant "recovery: old sinks forgotten before the new ones stand" $recover \
    'for with_file in [true, false] {' \
    'journal.sinks.iter().for_each(|entry| entry.succeed(None));
        for with_file in [true, false] {'

((tried > 0)) || { echo "no mutant has that name"; exit 1; }
[[ -z $check ]] || echo "$tried mutants apply to the sources"
exit $failed
