// SPDX-License-Identifier: MIT OR Apache-2.0
//! The crash model: `twz-crash [PART...]`.
//!
//! A run of the store is recorded as stores, flushes and fences (`trace`); what
//! a power cut can leave of it is defined (`model`), gone through (`enumerate`)
//! and recovered by the real recovery, which is judged (`drive`, `store`) and
//! cut in turn. `README.md` beside this crate says what is counted, and how to
//! read the output.

mod cases;
mod drive;
mod enumerate;
mod flips;
mod foreign;
mod image;
mod kill;
mod library;
mod lies;
mod model;
mod mutants;
mod plug;
mod protocols;
mod random;
mod report;
mod step;
mod store;
mod suite;
mod trace;
mod variants;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::{Parser, ValueEnum};
use report::grouped;
use serde_json::json;

/// Which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Every operation of the store, cut everywhere.
    Store,
    /// The store without each of its flushes and fences in turn.
    Mutants,
    /// Deliberately broken variants of published classes.
    Variants,
    /// Single bits, flipped.
    Flips,
    /// Transactions and containers of the library, cut everywhere.
    Library,
    /// `kill -9` of a process that writes to an embedded pool.
    Kill,
}

/// Plays power cuts.
#[derive(Parser)]
#[command(name = "twz-crash")]
struct Arguments {
    /// What to do; all of it if nothing is said.
    parts: Vec<Part>,
    /// Does what `make crash` does, and not what `make test` does.
    #[arg(long)]
    long: bool,
    /// About how many states of the store there are to be.
    #[arg(long)]
    states: Option<u64>,
    /// Where the random numbers begin.
    #[arg(long, default_value_t = 5)]
    seed: u64,
    /// Only cases whose name has this in it.
    #[arg(long)]
    case: Option<String>,
    /// Which images there are.
    #[arg(long, value_enum, default_value = "words")]
    model: model::Model,
    /// Is the process that is killed: writes to this pool until it is.
    #[arg(long, hide = true)]
    writer: Option<PathBuf>,
    /// Is the one whose power is cut: runs transactions in this pool until then.
    #[arg(long, hide = true)]
    plug_write: Option<PathBuf>,
    /// Is the one who looks at this pool after that.
    #[arg(long, hide = true)]
    plug_look: Option<PathBuf>,
    /// Judges what a machine did to its memory, as its emulator logged it, and nothing else.
    #[arg(long, hide = true, value_name = "LOG")]
    foreign: Option<PathBuf>,
    /// What is in that memory in the end.
    #[arg(long, hide = true)]
    medium: Option<PathBuf>,
    /// What the machine's start is taken to be, for that.
    #[arg(long, hide = true, default_value_t = 0)]
    boot: u64,
    /// About how many states of the library there are to be.
    #[arg(long)]
    library: Option<u64>,
    /// How many times the writer is killed.
    #[arg(long)]
    kills: Option<u64>,
    /// How many threads; as many as there are processors if nothing is said.
    #[arg(long)]
    jobs: Option<usize>,
    /// Where to write what was counted.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.foreign.is_none() && (self.parts.is_empty() || self.parts.contains(&part))
    }

    fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
    }

    fn picks(&self, name: &str) -> bool {
        self.case.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

/// Tests that passed, and those that failed.
#[derive(Default)]
struct Score {
    passed: u64,
    failed: u64,
    ignored: u64,
    report: serde_json::Map<String, serde_json::Value>,
}

impl Score {
    fn count(&mut self, name: &str, good: bool) {
        println!("test {name} ... {}", if good { "ok" } else { "FAILED" });
        *(if good { &mut self.passed } else { &mut self.failed }) += 1;
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(done) = program(&arguments) {
        return done.map_or_else(
            |error| {
                println!("FAILED: {error}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    step::prepare();
    // A panic of what is judged is a finding, told with all others.
    std::panic::set_hook(Box::new(|_| {}));
    let mut score = Score::default();
    println!("seed {}, {:?}", arguments.seed, arguments.model);
    if let Some(log) = &arguments.foreign {
        foreign::run(log, &arguments, &mut score);
    }
    if arguments.wants(Part::Store) {
        store_part(&arguments, &mut score);
    }
    if arguments.wants(Part::Library) {
        library_part(&arguments, &mut score);
    }
    if arguments.wants(Part::Mutants) {
        mutants_part(&arguments, &mut score);
    }
    if arguments.wants(Part::Variants) {
        variants_part(&arguments, &mut score);
    }
    if arguments.wants(Part::Flips) {
        flips_part(&arguments, &mut score);
    }
    if arguments.wants(Part::Kill) {
        kill_part(&arguments, &mut score);
        boots_part(&arguments, &mut score);
    }
    if let Some(path) = &arguments.json {
        score.report.insert("seed".to_owned(), json!(arguments.seed));
        if let Err(error) = report::write(path, &serde_json::Value::Object(score.report)) {
            println!("{}: {error}", path.display());
            score.failed += 1;
        }
    }
    let result = if score.failed == 0 && score.passed != 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {} passed; {} failed; {} ignored",
        score.passed, score.failed, score.ignored
    );
    match result {
        "ok" => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Is one of the programs that others are: killed, or run in a machine of its own.
fn program(arguments: &Arguments) -> Option<Result<(), String>> {
    if arguments.boot != 0 {
        twz::crash_hooks::pretend_boot(arguments.boot);
    }
    let done = if let Some(pool) = &arguments.writer {
        kill::write(pool, arguments.seed).map_err(|e| e.to_string())
    } else if let Some(pool) = &arguments.plug_write {
        plug::write(pool).map_err(|e| e.to_string())
    } else {
        plug::look(arguments.plug_look.as_ref()?).map_err(|e| e.to_string())
    };
    Some(done)
}

fn store_part(arguments: &Arguments, score: &mut Score) {
    let mut cases = cases::all();
    cases.retain(|case| arguments.picks(case.name));
    let states = arguments.states.unwrap_or(if arguments.long { 300_000_000 } else { 10_000_000 });
    let plan = suite::Plan {
        model: arguments.model,
        seed: arguments.seed,
        // Some are come to twice, and do not count.
        states: states + states / 20,
        jobs: arguments.jobs(),
    };
    let start = Instant::now();
    let outcomes = suite::run(&cases, plan, &|outcome| {
        if arguments.long {
            let all = grouped(outcome.tally.all());
            println!("{:40} {all:>13} states in {:.0?}", outcome.case.name, outcome.took);
        }
    });
    report::table(&outcomes);
    let took = start.elapsed();
    for outcome in &outcomes {
        if let Some((broken, at)) = &outcome.tally.first {
            println!("{}: {}: {}\n    {at}", outcome.case.name, broken.invariant, broken.text);
        }
        score.count(&format!("store::{}", outcome.case.name), outcome.tally.violations == 0);
    }
    let (_, total) = report::sums(&outcomes);
    let rate = total.all() as f64 / took.as_secs_f64();
    println!(
        "store: {} crash states, {} violations, everything looked at in {}; {:.0?}, {} a second",
        grouped(total.all()),
        total.violations,
        grouped(total.looked),
        took,
        grouped(rate as u64),
    );
    // Fewer than asked for is no pass, unless only some cases were asked for.
    if arguments.case.is_none() {
        score.count("store::as_many_states_as_asked_for", total.all() >= states);
    }
    score.report.insert(
        "store".to_owned(),
        json!({
            "model": format!("{:?}", arguments.model),
            "states": total.all(),
            "violations": total.violations,
            "seconds": took.as_secs_f64(),
            "cases": outcomes.iter().map(report::case).collect::<Vec<_>>(),
        }),
    );
}

fn mutants_part(arguments: &Arguments, score: &mut Score) {
    let mut cases = cases::all();
    cases.retain(|case| arguments.picks(case.name));
    let mutants = mutants::run(&cases, arguments.model, arguments.seed, arguments.jobs());
    println!();
    for mutant in &mutants {
        let how = match &mutant.caught {
            Some((case, broken)) => format!("{case}: {}", broken.invariant),
            None => "NOT CAUGHT".to_owned(),
        };
        println!("{:60} {:>9} states  {how}", mutant.name, grouped(mutant.states));
    }
    let caught = mutants.iter().filter(|mutant| mutant.caught.is_some()).count();
    println!("mutants: {caught} of {} deleted flushes and fences caught", mutants.len());
    score.count("mutants::every_flush_and_fence_is_needed", caught == mutants.len());
    let all: Vec<_> = mutants.iter().map(mutants::Mutant::json).collect();
    score.report.insert("mutants".to_owned(), json!(all));
}

fn variants_part(arguments: &Arguments, score: &mut Score) {
    println!();
    for protocol in protocols::ALL {
        let tally = variants::protocol_run(protocol, 0, arguments.model, arguments.seed);
        if let Some((broken, at)) = &tally.first {
            println!("{}: {}: {}\n    {at}", protocol.name, broken.invariant, broken.text);
        }
        let name = format!("variants::{}_is_right", protocol.name.replace(' ', "_"));
        score.count(&name, tally.violations == 0);
    }
    let variants = variants::run(arguments.model, arguments.seed, arguments.jobs());
    println!();
    for variant in &variants {
        let by = variant.caught.as_ref().map_or("NOT CAUGHT", |broken| broken.invariant);
        let variants::Variant { of, class, what, states, .. } = variant;
        println!("{of:16} {class:37} {:>7}  {by:16} {what}", grouped(*states));
    }
    let caught = variants.iter().filter(|variant| variant.caught.is_some()).count();
    println!("variants: {caught} of {} broken variants caught", variants.len());
    score.count("variants::every_one_is_caught", caught == variants.len());
    let all: Vec<_> = variants.iter().map(variants::Variant::json).collect();
    score.report.insert("variants".to_owned(), json!(all));
}

fn flips_part(arguments: &Arguments, score: &mut Score) {
    let count = if arguments.long { 100_000 } else { 10_000 };
    let flips = match flips::run(count, arguments.seed) {
        Ok(flips) => flips,
        Err(error) => {
            println!("flips: {error}");
            return score.count("flips::could_be_run", false);
        }
    };
    let head = ["caught", "mended", "cut off", "left", "harmless", "user"];
    print!("\n{:16}", "region");
    head.iter().for_each(|name| print!(" {name:>9}"));
    println!();
    let mut all = [0; 6];
    for ((_, name), t) in &flips.regions {
        let row = [t.caught, t.mended, t.cut_off, t.left, t.harmless, t.user];
        print!("{name:16}");
        row.iter().for_each(|n| print!(" {:>9}", grouped(*n)));
        println!();
        all.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
    }
    flips.failures.iter().take(20).for_each(|failure| println!("{failure}"));
    let [caught, mended, cut_off, left, harmless, user] = all;
    println!(
        "flips: {count} bits, {caught} caught ({mended} mended, {cut_off} cut off, {left} left), \
         {harmless} harmless, {user} in bytes of programs, {} failures",
        flips.failures.len()
    );
    score.count("flips::every_harmful_one_is_caught", flips.failures.is_empty());
    score.report.insert("flips".to_owned(), flips.json());
}

fn kill_part(arguments: &Arguments, score: &mut Score) {
    let rounds = arguments.kills.unwrap_or(if arguments.long { 2_000 } else { 60 });
    let kills = match kill::run(rounds, arguments.seed) {
        Ok(kills) => kills,
        Err(error) => {
            println!("kill: {error}");
            return score.count("kill::could_be_run", false);
        }
    };
    kills.failures.iter().for_each(|failure| println!("{failure}"));
    println!(
        "\nkill: {} rounds, {} acknowledged operations all there; {} kills within one, of which {} \
         had happened; {} failures",
        kills.rounds,
        grouped(kills.acknowledged),
        kills.within,
        kills.happened,
        kills.failures.len()
    );
    // Rounds in which nothing was done would say nothing.
    let good = kills.failures.is_empty() && kills.acknowledged > rounds && kills.within > 0;
    score.count("kill::acknowledged_is_there_and_nothing_half", good);
    score.report.insert(
        "kill".to_owned(),
        json!({
            "rounds": kills.rounds,
            "acknowledged": kills.acknowledged,
            "killed_within": kills.within,
            "happened": kills.happened,
            "failures": kills.failures,
        }),
    );
}

fn boots_part(arguments: &Arguments, score: &mut Score) {
    let rounds = arguments.kills.unwrap_or(if arguments.long { 2_000 } else { 60 });
    match plug::kill_and_boot(rounds, arguments.seed) {
        Ok((told, saved)) => {
            println!(
                "boots: {rounds} kills and new boots, {} transactions told and all there, {saved} \
                 more there that nobody heard of",
                grouped(told)
            );
            score.count("kill::recovered_at_the_next_boot", told > rounds);
            score.report.insert("boots".to_owned(), json!({ "rounds": rounds, "told": told }));
        }
        Err(error) => {
            println!("boots: {error}");
            score.count("kill::recovered_at_the_next_boot", false);
        }
    }
}

fn library_part(arguments: &Arguments, score: &mut Score) {
    let states = arguments.library.unwrap_or(if arguments.long { 1_000_000 } else { 20_000 });
    let each = states / library::cases::CASES.len() as u64;
    let (mut all, mut cases, mut recorded) = (0, Vec::new(), Vec::new());
    println!(
        "\n{:28} {:>6} {:>7} {:>6} {:>9} {:>11} {:>7}",
        "library", "stores", "flushes", "fences", "cut once", "in recovery", "twice"
    );
    for case in library::cases::CASES.iter().filter(|case| arguments.picks(case.name)) {
        let name = format!("library::{}", case.name);
        let outcome = match library::run(case, each, arguments.seed, model::Model::Lines) {
            Ok(outcome) => outcome,
            Err(error) => {
                println!("{name}: {error}");
                score.count(&name, false);
                continue;
            }
        };
        let ([stores, flushes, fences], tally) = (outcome.events, &outcome.tally);
        println!(
            "{:28} {stores:>6} {flushes:>7} {fences:>6} {:>9} {:>11} {:>7}",
            outcome.case.name,
            grouped(tally.states),
            grouped(tally.in_recovery),
            grouped(tally.twice)
        );
        if let Some((broken, at)) = &tally.first {
            println!(
                "    {} violations: {}: {}\n    {at}",
                tally.violations, broken.invariant, broken.text
            );
        }
        all += tally.all();
        score.count(&name, tally.violations == 0 && stores > 0);
        cases.push(json!({
            "case": outcome.case.name,
            "operation": outcome.case.operation,
            "stores": stores,
            "flushes": flushes,
            "fences": fences,
            "positions": tally.walked.positions,
            "positions_whole": tally.walked.whole,
            "states": tally.states,
            "states_in_recovery": tally.in_recovery,
            "states_in_recovery_twice": tally.twice,
            "violations": tally.violations,
        }));
        recorded.extend(outcome.recorded);
    }
    println!("library: {} crash states", grouped(all));
    let mutants = library::mutants::run(&mut recorded, arguments.seed);
    for mutant in &mutants {
        let how = match &mutant.caught {
            Some((case, broken)) => format!("{case}: {}", broken.invariant),
            None => format!("NOT CAUGHT in {} recordings", mutant.within),
        };
        println!("{:84} {:>7} states  {how}", mutant.name, grouped(mutant.states));
    }
    let caught = mutants.iter().filter(|mutant| mutant.caught.is_some()).count();
    println!("library: {caught} of {} deleted flushes and fences caught", mutants.len());
    if arguments.case.is_none() {
        score.count("library::every_flush_and_fence_is_needed", caught == mutants.len());
    }
    let mutants: Vec<_> = mutants.iter().map(library::mutants::Mutant::json).collect();
    score.report.insert("library".to_owned(), json!({ "cases": cases, "mutants": mutants }));
}
