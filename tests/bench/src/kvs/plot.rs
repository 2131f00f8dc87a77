// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plot for people: what one operation costs in each store, by number of
//! keys, on two logarithmic axes; as SVG, from the records of a run.

use std::fmt::Write as _;

use super::growth::{self, Growth};
use crate::report::{Record, short};

const PANELS: [(&str, &str); 3] =
    [("get", "lookup"), ("get_dep", "dependent lookup"), ("insert", "insert, volatile")];
const PANEL: [f64; 2] = [250.0, 240.0];
const MARGIN: f64 = 44.0;
const TOP: f64 = 30.0;
/// Of the subject, and of its peers in the order of the report.
const COLOURS: [&str; 10] = [
    "#d62728", "#1f77b4", "#7f9fbf", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2",
    "#17becf", "#7f7f7f",
];

/// What a number of keys is called, and where it is on its axis.
const KEYS: [(&str, f64); 7] = [
    ("quick", 2.7),
    ("quick2", 3.3),
    ("1k", 3.0),
    ("10k", 4.0),
    ("100k", 5.0),
    ("1m", 6.0),
    ("10m", 7.0),
];

/// Where values are on the paper.
struct Scale {
    left: f64,
    keys: [f64; 2],
    costs: [f64; 2],
}

impl Scale {
    fn x(&self, keys: f64) -> f64 {
        let [low, high] = self.keys;
        self.left + (keys - low) / (high - low).max(1e-9) * PANEL[0]
    }

    fn y(&self, cost: f64) -> f64 {
        let [low, high] = self.costs;
        TOP + PANEL[1] * (1.0 - (cost.log10() - low) / (high - low).max(1e-9))
    }
}

/// Draws it, if there are sizes to be drawn.
pub fn draw(records: &[Record]) -> Option<String> {
    let panels: Vec<(&str, Vec<Growth>)> = PANELS
        .into_iter()
        .map(|(what, title)| (title, growth::of(records, what)))
        .filter(|(_, all)| !all.is_empty())
        .collect();
    let mut stores: Vec<&str> = Vec::new();
    for growth in panels.iter().flat_map(|(_, all)| all) {
        if !stores.contains(&growth.store.as_str()) {
            stores.push(&growth.store);
        }
    }
    if panels.is_empty() {
        return None;
    }
    let width = panels.len() as f64 * (PANEL[0] + MARGIN) + MARGIN;
    let height = TOP + PANEL[1] + 60.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (place, (title, all)) in panels.iter().enumerate() {
        panel(&mut svg, MARGIN + place as f64 * (PANEL[0] + MARGIN), title, all, &stores);
    }
    for (place, store) in stores.iter().enumerate() {
        let (x, y) = (MARGIN + place as f64 * 92.0, height - 12.0);
        let colour = COLOURS[place % COLOURS.len()];
        line(&mut svg, [x, y - 4.0, x + 16.0, y - 4.0], colour, 3.0);
        text(&mut svg, [x + 20.0, y], "start", store);
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn panel(svg: &mut String, left: f64, title: &str, all: &[Growth], stores: &[&str]) {
    let at = |size: &str| KEYS.iter().find(|(name, _)| *name == size).map(|(_, keys)| *keys);
    let sizes: Vec<(&str, f64)> = KEYS
        .into_iter()
        .filter(|(size, _)| all.iter().any(|growth| growth.costs.iter().any(|(s, _)| s == size)))
        .collect();
    let costs = || all.iter().flat_map(|growth| &growth.costs).map(|(_, cost)| cost.log10());
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold([f64::MAX, f64::MIN], |[low, high], v| [low.min(v), high.max(v)])
    };
    let keys = range(&mut sizes.iter().map(|(_, keys)| *keys));
    let [low, high] = range(&mut costs());
    let scale = Scale { left, keys, costs: [low.floor(), high.ceil()] };
    text(svg, [left, TOP - 12.0], "start", &format!("ns of one {title}"));
    for power in low.floor() as i32..=high.ceil() as i32 {
        let (cost, y) = (10f64.powi(power), scale.y(10f64.powi(power)));
        line(svg, [left, y, left + PANEL[0], y], "#dddddd", 1.0);
        text(svg, [left - 4.0, y + 4.0], "end", short(cost).trim_end_matches(".00"));
    }
    for (size, keys) in &sizes {
        text(svg, [scale.x(*keys), TOP + PANEL[1] + 15.0], "middle", size);
    }
    // The subject last, so that nothing hides it.
    for growth in all.iter().rev() {
        let colour = stores.iter().position(|store| *store == growth.store).unwrap_or(0);
        let colour = COLOURS[colour % COLOURS.len()];
        let points: Vec<String> = growth
            .costs
            .iter()
            .filter_map(|(size, cost)| Some((at(size)?, *cost)))
            .map(|(keys, cost)| format!("{:.1},{:.1}", scale.x(keys), scale.y(cost)))
            .collect();
        let width = if colour == COLOURS[0] { 3.0 } else { 1.5 };
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            points.join(" ")
        );
    }
}

fn line(svg: &mut String, [x1, y1, x2, y2]: [f64; 4], colour: &str, width: f64) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" \
         stroke-width=\"{width}\"/>"
    );
}

fn text(svg: &mut String, [x, y]: [f64; 2], anchor: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}
