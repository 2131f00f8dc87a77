// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first thing to run: one process builds a small linked structure across
//! several objects, a second one walks it at other addresses, and while that
//! one runs the first rebinds a name under it.
//!
//! `tour` makes a pool in a fresh directory, or uses the one in `TWZ_POOL`, or
//! with `TWZ_BACKEND=kernel` the kernel's, and starts itself again as
//! `tour walk POOL` for the second process. Everything is on the public API, and
//! nothing is `unsafe`.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

use twz::{Choice, EmbeddedPool, Field, InitOptions, Object, Persist, Ptr, Rights, Space};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A planet of the list; each lies in an object of its own.
#[derive(Persist)]
#[repr(C)]
struct Planet {
    name: [u8; 16],
    moons: Field<u64>,
    next: Ptr<Planet>,
}

/// The root of the catalogue: a list, and a pointer bound to a name.
#[derive(Persist)]
#[repr(C)]
struct Catalogue {
    first: Ptr<Planet>,
    favourite: Ptr<Planet>,
}

impl Planet {
    fn new(name: &str, moons: u64) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        Self { name: bytes, moons: Field::new(moons), next: Ptr::null() }
    }

    fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).trim_end_matches('\0').into()
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let outcome = match args.get(1).map(String::as_str) {
        Some("walk") => match args.get(2) {
            Some(pool) => walk(Path::new(pool)),
            None => Err("tour walk needs the path of a pool".into()),
        },
        Some(other) => {
            Err(format!("'{other}'? Run 'tour' without arguments, or with TWZ_POOL set").into())
        }
        None => build(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tour: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The first process.
fn build() -> Outcome<()> {
    let pool = pool()?;
    let space = Space::open(&pool)?;

    say(2, "making four objects, each with a 128-bit id of its own");
    let planets: Vec<Object<Planet>> = [("Mars", 2), ("Jupiter", 97), ("Saturn", 274)]
        .into_iter()
        .map(|(name, moons)| space.create(Planet::new(name, moons)))
        .collect::<Result<_, _>>()?;
    let catalogue = space.create(Catalogue { first: Ptr::null(), favourite: Ptr::null() })?;
    for planet in &planets {
        println!(
            "     {:8} {}  mapped at {:#x}",
            planet.root().name(),
            planet.id(),
            planet.address()
        );
    }
    println!("     catalogue {}", catalogue.id());

    say(3, "linking them: 8-byte pointers from one object into the next");
    catalogue.root().first.store(planets[0].root())?;
    for pair in planets.windows(2) {
        pair[0].root().next.store(pair[1].root())?;
        let bits = pair[0].root().next.bits();
        println!(
            "     {} -> {}: entry {} of its table, offset {:#x}",
            pair[0].root().name(),
            pair[1].root().name(),
            bits.index(),
            bits.offset()
        );
    }

    say(4, "naming them: 'catalogue', and 'favourite' for Jupiter");
    space.bind("catalogue", catalogue.id())?;
    space.bind("favourite", planets[1].id())?;
    catalogue.root().favourite.store_name("favourite", catalogue.global().offset, Rights(3))?;
    println!("     the catalogue points to whatever 'favourite' is bound to, when it is asked");

    show(&pool, &space, &planets)?;
    println!("\nAll of it is still there: look with");
    println!("     target/release/twz --pool {} graph", pool.display());
    if pool.is_dir() {
        println!("     ls -l {}/names", pool.display());
    }
    Ok(())
}

/// Where the pool is: what the kernel module serves, if `TWZ_BACKEND` says so,
/// else a directory, which is made.
fn pool() -> Outcome<PathBuf> {
    if Choice::from_env()? == Choice::Kernel {
        let pool = twz::pools::default_pool()?;
        say(1, &format!("using the pool that the kernel serves, {}", pool.display()));
        return Ok(pool);
    }
    let pool = match env::var_os("TWZ_POOL") {
        Some(path) => path.into(),
        None => env::temp_dir().join(format!("twz-tour-{}", std::process::id())),
    };
    say(1, &format!("making a pool: a directory, {}", pool.display()));
    match EmbeddedPool::init(&pool, &InitOptions { label: "tour".into() }) {
        Err(twz::Error::PoolExists(_)) => {
            println!("     it is there already, so it is used as it is")
        }
        other => other?,
    }
    Ok(pool)
}

/// Shows the structure to a second process, and changes it while that one runs.
fn show(pool: &Path, space: &Space, planets: &[Object<Planet>]) -> Outcome<()> {
    say(5, "starting a second process, which knows the pool and the name 'catalogue'");
    let (mut walker, mut lines) = start_walker(pool)?;
    expect(&mut lines, "ready")?;

    say(6, "rebinding 'favourite' to Saturn, while that process runs");
    space.bind("favourite", planets[2].id())?;
    tell(&mut walker, "look again")?;
    expect(&mut lines, "Saturn")?;

    say(7, "counting a new moon of Mars here; the other process sees it in the same memory");
    planets[0].root().moons.set(3)?;
    tell(&mut walker, "count")?;
    expect(&mut lines, "3")?;
    tell(&mut walker, "done")?;
    match walker.wait()?.success() {
        true => Ok(()),
        false => Err("the second process failed".into()),
    }
}

/// The second process: does what it is told on its standard input.
fn walk(pool: &Path) -> Outcome<()> {
    let space = Space::open(pool)?;
    let catalogue = space.open_name::<Catalogue>("catalogue")?;
    println!("the catalogue is mapped at {:#x} here; walking it:", catalogue.address());
    let mut next = catalogue.root().first.get()?;
    while let Some(planet) = next {
        println!("{} has {} moons, and lies at {:p}", planet.name(), planet.moons.get(), planet);
        next = planet.next.get()?;
    }
    println!("the favourite is {}", catalogue.root().favourite.lea()?.name());
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        match line?.as_str() {
            "look again" => {
                println!("the favourite is {} now", catalogue.root().favourite.lea()?.name())
            }
            "count" => println!("Mars has {} moons now", catalogue.root().first.lea()?.moons.get()),
            _ => break,
        }
    }
    Ok(())
}

fn start_walker(pool: &Path) -> Outcome<(Child, BufReader<std::process::ChildStdout>)> {
    let mut walker = Command::new(env::current_exe()?)
        .arg("walk")
        .arg(pool)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    println!("     it is process {}; this one is {}", walker.id(), std::process::id());
    let lines = walker.stdout.take().ok_or("the second process has no output")?;
    Ok((walker, BufReader::new(lines)))
}

fn tell(walker: &mut Child, what: &str) -> Outcome<()> {
    let input = walker.stdin.as_mut().ok_or("the second process takes no input")?;
    writeln!(input, "{what}")?;
    Ok(())
}

/// Shows what the second process says, up to the line that holds `what`.
fn expect(lines: &mut impl std::io::BufRead, what: &str) -> Outcome<()> {
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Err(format!("the second process ended before it said '{what}'").into());
        }
        let line = line.trim_end();
        if line != "ready" {
            println!("     | {line}");
        }
        if line.contains(what) {
            return Ok(());
        }
    }
}

fn say(step: u32, what: &str) {
    println!("{step}.   {what}");
}
