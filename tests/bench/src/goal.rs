// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is to be reached: the first set (stretch) and the second set (shown by
//! a trial) of goals, by case and peer.

use crate::{posix, report::Record};

/// A limit on a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The ratio is at most this. Set 1.
    Ratio(f64),
    /// The same of set 2.
    SecondRatio(f64),
    /// The subject's own value is at most this. Set 1.
    Value(f64),
    /// The same of set 2.
    SecondValue(f64),
    /// The subject takes at most so much more than the peer. Set 2.
    SecondMore(f64),
}

use Goal::{Ratio, SecondMore, SecondRatio, SecondValue, Value};

impl Goal {
    /// Whether the median reaches it.
    pub fn reached(&self, record: &Record) -> bool {
        match *self {
            Ratio(limit) | SecondRatio(limit) => record.ratio <= limit,
            Value(limit) | SecondValue(limit) => record.subject_value <= limit,
            SecondMore(limit) => record.subject_value - record.peer_value <= limit,
        }
    }

    /// The limit, and whether it was reached.
    pub fn verdict(&self, record: &Record) -> String {
        let reached = if self.reached(record) { "reached" } else { "MISSED" };
        match *self {
            Ratio(limit) => format!("<= {limit:.2} {reached}"),
            SecondRatio(limit) => format!("(2nd: <= {limit:.2} {reached})"),
            Value(limit) => format!("<= {limit} {} {reached}", record.unit),
            SecondValue(limit) => format!("(2nd: <= {limit} {} {reached})", record.unit),
            SecondMore(limit) => format!("(2nd: <= +{limit} {} {reached})", record.unit),
        }
    }
}

/// The goals of a record; most peers are there for comparison only.
pub fn of(record: &Record) -> &'static [Goal] {
    if record.bench == "security" {
        return of_security(&record.case, &record.peer, &record.unit);
    }
    if record.bench == "posix" {
        return posix::goals(record);
    }
    if matches!(record.unit.as_str(), "instructions" | "lines") {
        return &[];
    }
    match (record.bench.as_str(), record.case.as_str(), record.peer.as_str()) {
        ("ptr", "64k/k1", "raw") => &[Ratio(1.10), SecondRatio(1.17), SecondMore(0.6)],
        ("ptr", "64k/k2", "raw") => &[Ratio(1.30), SecondRatio(1.40)],
        ("ptr", "64k/k2", "pmemobj") => &[SecondRatio(1.0 / 1.10)],
        ("ptr", "64k/k16", "raw") => &[Ratio(1.40), SecondRatio(1.55)],
        ("ptr", "64k/k16", "pmemobj") => &[Ratio(0.60), SecondRatio(1.0 / 1.5)],
        ("ptr", "8m/k16" | "512m/k16", "raw") => &[Ratio(1.05)],
        ("ptr", "first_use", "raw") => &[Value(20.0), SecondMore(12.0)],
        ("ptr", "store", "raw") => &[Value(5.0)],
        ("ptr", "size", "pmemobj") => &[Value(8.0)],
        ("tx", "two_words", "pmemobj") => &[Ratio(0.35), SecondRatio(0.55)],
        ("tx", "hundred_bytes", "pmemobj") => &[Ratio(0.6)],
        ("tx", "alloc_free", "pmemobj") => &[Ratio(0.35)],
        ("tx", "hashmap_insert", "pmemobj") => &[Ratio(0.5)],
        ("tx", "recovery_1m", "self_1k") => &[Ratio(1.2)],
        ("tx", _, "pmemobj") if record.unit == "fences" => &[Ratio(0.99)],
        ("space", "pool_open_1m", "self_1k") => &[Value(1e9)],
        ("space", _, "self_1k") => &[Ratio(1.5)],
        ("kvs", case, peer) => of_store(case, peer, &record.unit),
        _ => &[],
    }
}

/// Those of what enforcing rights costs.
fn of_security(case: &str, peer: &str, unit: &str) -> &'static [Goal] {
    match (case, peer, unit) {
        (_, "10", _) if case.starts_with("lookup/") => &[Ratio(2.0)],
        ("verify/judge" | "verify/attach", "dalek", _) => &[Ratio(1.3)],
        ("access", "none", "instructions") => &[Ratio(1.0)],
        _ => &[],
    }
}

/// Those of the race of stores.
fn of_store(case: &str, peer: &str, unit: &str) -> &'static [Goal] {
    let (size, what) = case.split_once('/').unwrap_or(("", case));
    match (size, what, peer) {
        (_, "insert_durable", "pmemobj_tx") if unit == "fences" => &[SecondValue(2.0)],
        // The other sizes are there to show how cost grows.
        _ if !["10k_8_8", "10k_16_100", "1m_8_8", "1m_16_100"].contains(&size) => &[],
        (_, "get", "unixkvs") => &[Ratio(0.9), SecondRatio(0.97)],
        (_, "insert", "unixkvs") => &[Ratio(0.9), SecondRatio(0.97)],
        (_, "reopen", "lmdb") => &[Value(1e6), SecondRatio(0.6)],
        ("10k_8_8" | "1m_8_8", "space", "hashbrown") => &[Value(2.5), SecondValue(2.45)],
        ("10k_16_100" | "1m_16_100", "space", "hashbrown") => &[SecondValue(1.2)],
        (_, "space" | "reopen", _) => &[],
        (_, _, "redb" | "sled" | "sqlite" | "rocksdb") => &[Ratio(0.1)],
        (_, "get", "pmemobj_tx") if size.starts_with("10k") => &[Ratio(0.5), SecondRatio(0.45)],
        (_, "get", "pmemobj_tx") => &[Ratio(0.5), SecondRatio(0.65)],
        (_, "insert_durable", "pmemobj_tx") => &[Ratio(0.4), SecondRatio(0.35)],
        (_, "insert_durable", "lmdb") => &[Ratio(0.5)],
        (_, "insert_durable", "lmdb_sync") => &[SecondRatio(0.15)],
        (_, "get", "lmdb") if size.starts_with("10k") => &[Ratio(0.08), SecondRatio(0.05)],
        (_, "get", "lmdb") => &[Ratio(0.08)],
        ("10k_8_8", "get", "hashbrown") => &[SecondRatio(2.2)],
        ("10k_8_8", "get_dep", "hashbrown") => &[SecondRatio(1.25)],
        ("10k_8_8", "get_dep", "pmemobj_tx") => &[SecondRatio(0.65)],
        ("10k_8_8", "get_dep", "lmdb") => &[SecondRatio(0.12)],
        ("10k_16_100", "get", "hashbrown") => &[SecondRatio(2.0)],
        ("10k_16_100", "get_dep", "hashbrown") => &[SecondRatio(1.45)],
        ("1m_8_8" | "1m_16_100", what, peer) => of_many(what, peer),
        _ => &[],
    }
}

/// Those with a million keys.
fn of_many(what: &str, peer: &str) -> &'static [Goal] {
    match (what, peer) {
        ("get", "hashbrown") => &[Ratio(2.0)],
        ("get_dep", "hashbrown") => &[Ratio(1.2), SecondRatio(1.6)],
        ("insert", "hashbrown") => &[Ratio(2.0)],
        ("insert", "lmdb") => &[SecondRatio(0.18)],
        ("get", "boxed") => &[SecondRatio(1.25)],
        ("get_dep", "boxed") => &[SecondRatio(0.85)],
        ("get_dep", "pmemobj_tx") => &[SecondRatio(0.9)],
        ("get_dep", "lmdb") => &[SecondRatio(0.5)],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_says_so() {
        let record = Record::from_counts("64k/k2", ["twz", "raw"], [13.5, 10.0], "ns");
        let goals = of(&record);
        assert_eq!(goals, [Ratio(1.30), SecondRatio(1.40)]);
        assert_eq!(goals[0].verdict(&record), "<= 1.30 MISSED");
        assert_eq!(goals[1].verdict(&record), "(2nd: <= 1.40 reached)");
    }

    #[test]
    fn an_access_is_held_to_what_is_counted() {
        assert_eq!(of_security("access", "none", "instructions"), [Ratio(1.0)]);
        assert_eq!(of_security("access", "none", "ns"), []);
        assert_eq!(of_security("lookup/random", "10", "ns"), [Ratio(2.0)]);
        assert_eq!(of_security("lookup/random", "memory", "ns"), []);
    }

    #[test]
    fn stores_have_goals_by_size_and_peer() {
        assert_eq!(of_store("1m_8_8/get", "hashbrown", "ns"), [Ratio(2.0)]);
        assert_eq!(of_store("10k_8_8/get", "hashbrown", "ns"), [SecondRatio(2.2)]);
        assert_eq!(of_store("10k_16_100/delete", "redb", "ns"), [Ratio(0.1)]);
        assert_eq!(of_store("1m_16_100/space", "redb", "B/B"), []);
        assert_eq!(of_store("100k_8_8/get", "lmdb", "ns"), []);
        assert_eq!(of_store("quick_8_8/get", "redb", "ns"), []);
        assert_eq!(of_store("insert_durable", "pmemobj_tx", "fences"), [SecondValue(2.0)]);
    }
}
