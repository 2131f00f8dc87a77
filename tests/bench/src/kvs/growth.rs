// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the cost of an operation grows with the number of keys: taken from the
//! records of all sizes, for the terminal and for the [`super::plot`].

use crate::report::Record;

/// The cost of one operation in one store, by numbers of keys.
pub struct Growth {
    /// The store.
    pub store: String,
    /// Name of a size, and nanoseconds.
    pub costs: Vec<(String, f64)>,
}

/// The growth of an operation with pairs of 8 and 8 bytes, the subject first;
/// those of whom there are two sizes at least.
pub fn of(records: &[Record], what: &str) -> Vec<Growth> {
    let mut all: Vec<Growth> = Vec::new();
    for record in records.iter().filter(|record| record.bench == "kvs" && record.unit == "ns") {
        let Some((size, rest)) = record.case.split_once("_8_8/") else { continue };
        let both = [(&record.subject, record.subject_value), (&record.peer, record.peer_value)];
        for (store, cost) in both.into_iter().filter(|_| rest == what) {
            let growth = match all.iter().position(|growth| growth.store == *store) {
                Some(place) => &mut all[place],
                None => {
                    all.push(Growth { store: store.clone(), costs: Vec::new() });
                    let last = all.len() - 1;
                    &mut all[last]
                }
            };
            if !growth.costs.iter().any(|(known, _)| known == size) {
                growth.costs.push((size.into(), cost));
            }
        }
    }
    all.retain(|growth| growth.costs.len() > 1);
    all
}

/// Prints them, and by how much each has grown from the first to the last.
pub fn print(records: &[Record]) {
    for what in ["get", "get_dep", "insert"] {
        let all = of(records, what);
        let Some(first) = all.first() else { continue };
        let sizes: Vec<String> = first.costs.iter().map(|(size, _)| format!("{size:>8}")).collect();
        println!("\nkvs: ns of one {what}, by keys\n{:<13}{}   times", "", sizes.concat());
        for growth in &all {
            let costs: Vec<f64> = growth.costs.iter().map(|(_, cost)| *cost).collect();
            let shown: Vec<String> = costs.iter().map(|cost| format!("{cost:>8.1}")).collect();
            let times = costs.last().zip(costs.first()).map_or(0.0, |(last, first)| last / first);
            println!("{:<13}{}{times:>8.1}", growth.store, shown.concat());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_collected_by_store() {
        let record = |case: &str, ours, theirs| Record {
            bench: "kvs".into(),
            ..Record::from_counts(case, ["a", "x"], [ours, theirs], "ns")
        };
        let all = of(
            &[
                record("1k_8_8/get", 1.0, 2.0),
                record("1k_8_8/insert", 7.0, 7.0),
                record("1m_8_8/get", 3.0, 8.0),
                record("1m_16_100/get", 9.0, 9.0),
            ],
            "get",
        );
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[1].store.as_str(), &all[1].costs[..]),
            ("x", &[("1k".into(), 2.0), ("1m".into(), 8.0)][..])
        );
    }
}
