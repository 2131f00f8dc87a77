// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was measured, as the other benches write it: lines of JSON for
//! `target/bench/fault.json`, and a table for people.

/// The module against one peer in one case.
pub struct Record {
    /// The case, with the state that both sides were in.
    pub case: String,
    /// Round by round, ns.
    pub ours: Vec<f64>,
    /// The same of the peer.
    pub theirs: Vec<f64>,
    peer: String,
    ratio: (f64, f64, f64),
    values: (f64, f64),
}

/// Median, lowest and highest.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(&lo), Some(&median), Some(&hi)) => (median, lo, hi),
        _ => (f64::NAN, f64::NAN, f64::NAN),
    }
}

impl Record {
    /// From the times of both, round by round.
    pub fn new(case: &str, peer: &str, ours: &[f64], theirs: &[f64]) -> Self {
        Self {
            case: case.into(),
            peer: peer.into(),
            ratio: spread(ours.iter().zip(theirs).map(|(a, b)| a / b)),
            values: (spread(ours.iter().copied()).0, spread(theirs.iter().copied()).0),
            ours: ours.to_vec(),
            theirs: theirs.to_vec(),
        }
    }

    /// The module against itself before, both in terms of a yardstick that was
    /// measured in the same rounds.
    pub fn with_itself(case: &str, now: [&[f64]; 2], then: [&[f64]; 2]) -> Self {
        let unit = spread(then[1].iter().copied()).0;
        let scaled = |[ours, yardstick]: [&[f64]; 2]| -> Vec<f64> {
            ours.iter().zip(yardstick).map(|(ours, yard)| ours / yard * unit).collect()
        };
        Self::new(case, "self_1k", &scaled(now), &scaled(then))
    }

    /// The goal there is for it: the ratio is at most this.
    fn goal(&self) -> Option<f64> {
        let case = self.case.split('/').next().unwrap_or_default();
        match (case, self.peer.as_str()) {
            (_, "self_1k") => Some(1.10),
            ("4k_write", "ext4dax") => Some(0.5),
            ("4k_write", "tmpfs") => Some(1.0),
            ("2m", "ext4dax") => Some(0.4),
            ("view_map_touch", "ext4dax") => Some(0.5),
            _ => None,
        }
    }

    fn json(&self) -> String {
        let (ratio, lo, hi) = self.ratio;
        let (subject, peer) = self.values;
        format!(
            "{{\"bench\":\"fault\",\"case\":\"{}\",\"subject\":\"twz\",\"peer\":\"{}\",\
             \"ratio\":{ratio},\"lo\":{lo},\"hi\":{hi},\"subject_value\":{subject},\
             \"peer_value\":{peer},\"unit\":\"ns\",\"rounds\":{}}}",
            self.case,
            self.peer,
            self.ours.len()
        )
    }

    /// One line for people.
    pub fn tell(&self) {
        let (ratio, lo, hi) = self.ratio;
        let goal = self.goal().map_or(String::new(), |goal| {
            format!("<= {goal:.2} {}", if ratio <= goal { "reached" } else { "MISSED" })
        });
        println!(
            "{:<36}{:<9}{ratio:>7.2} {lo:>7.2} {hi:>7.2} {:>9.0} {:>9.0} {goal}",
            self.case, self.peer, self.values.0, self.values.1
        );
    }
}

/// All of it: the table again, how many goals were reached, and the JSON, each
/// line after the word `json`.
pub fn print(records: &[Record]) {
    println!("\nfault: ratio = twz / peer, below 1 twz is cheaper; ns for a touch");
    println!(
        "{:<36}{:<9}{:>7} {:>7} {:>7} {:>9} {:>9} goal",
        "case", "peer", "ratio", "lo", "hi", "twz", "peer"
    );
    records.iter().for_each(Record::tell);
    let goals: Vec<bool> =
        records.iter().filter_map(|r| r.goal().map(|goal| r.ratio.0 <= goal)).collect();
    let reached = goals.iter().filter(|reached| **reached).count();
    println!("fault: {reached} of {} goals reached\n", goals.len());
    records.iter().for_each(|record| println!("json {}", record.json()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_the_other_benches_say() {
        let record = Record::new("2m", "ext4dax", &[1.0, 3.0, 2.0], &[4.0, 4.0, 4.0]);
        assert_eq!((record.ratio.0, record.goal()), (0.5, Some(0.4)));
        assert!(record.json().starts_with("{\"bench\":\"fault\",\"case\":\"2m\",\"subject\""));
        assert!(record.json().ends_with("\"unit\":\"ns\",\"rounds\":3}"));
    }

    #[test]
    fn a_slow_hour_is_no_loss() {
        let slow: [&[f64]; 2] = [&[20.0, 22.0, 20.0], &[200.0, 220.0, 200.0]];
        let fast: [&[f64]; 2] = [&[2.0, 2.0, 2.0], &[20.0, 20.0, 20.0]];
        let record = Record::with_itself("4k_write_1m_objects", slow, fast);
        assert!((record.ratio.0 - 1.0).abs() < 1e-9 && (record.ratio.2 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn many_objects_are_compared_with_few() {
        let record = Record::new("4k_write_1m_objects", "self_1k", &[1.0], &[1.0]);
        assert_eq!(record.goal(), Some(1.10));
        let record = Record::new("4k_write_1m_objects", "tmpfs", &[1.0], &[1.0]);
        assert_eq!(record.goal(), None);
    }
}
