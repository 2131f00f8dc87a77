// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process of its own for the suites in `tests/processes`. Its first argument
//! says what to do; it answers on standard output, a line at a time.

use std::{env, error::Error, process::ExitCode, thread, time::Duration};

use twz::{Global, NewObject, Object, ObjectId, Ptr, Rights, Space};
use twz_tests::{Hub, Node};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["insert", pool, hub, seed] => insert(pool, hub, seed),
        ["hammer", pool, seed] => hammer(pool, seed),
        ["adopt", pool, name] => adopt(pool, name),
        ["hold", pool, id] => hold(pool, id),
        ["follow", pool, name] => follow(pool, name),
        ["see-view", pool, view, slot] => see_view(pool, view, slot),
        ["try-writing", pool, id] => try_writing(pool, id),
        ["late-right", pool, a, b] => late_right(pool, a, b),
        ["fill-disk", pool] => fill_disk(pool),
        ["store-denied", pool, id] => store_denied(pool, id),
        ["once", pool, what] => once(pool, what),
        ["own-handler", pool, id] => own_handler(pool, id),
        _ => Err(format!("no such job: {words:?}").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Numbers that look random and come out the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Points every spoke of the hub at the node named `t/I`, in an order of its own.
fn insert(pool: &str, hub: &str, seed: &str) -> Outcome {
    let space = Space::open(pool)?;
    let hub = space.open_object::<Hub>(hub.parse()?)?;
    let spokes = hub.root().spokes.lea()?;
    let mut dice = Dice(seed.parse()?);
    let mut order: Vec<usize> = (0..spokes.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, dice.roll(i as u64 + 1) as usize);
    }
    for i in order {
        let id = space.resolve(&format!("t/{i}"))?;
        spokes[i].store_global(Global { id, offset: 4096 }, Rights(3))?;
    }
    Ok(())
}

/// Does everything that changes a pool, until it is killed.
fn hammer(pool: &str, seed: &str) -> Outcome {
    let space = Space::open(pool)?;
    let mut dice = Dice(seed.parse()?);
    let hub = space.open_name::<Hub>("hub")?;
    println!("ready");
    let mut mine: Vec<Object<Node>> = Vec::new();
    loop {
        match dice.roll(8) {
            0 | 1 => mine.push(space.create(Node::new(dice.roll(1 << 30)))?),
            2 => {
                if let Some(object) = mine.last() {
                    space.bind(&format!("n{}", dice.roll(10)), object.id())?;
                }
            }
            3 => drop(space.backend().unbind(&format!("n{}", dice.roll(10)))),
            4 => {
                if let Some(object) = mine.pop() {
                    drop(space.backend().delete(object.id()));
                }
            }
            5 => {
                let spokes = hub.root().spokes.lea()?;
                if let Some(object) = mine.last() {
                    spokes[dice.roll(spokes.len() as u64) as usize].store(object.root())?;
                }
            }
            6 => {
                if let Some(object) = mine.first() {
                    let node = object.alloc(Node::new(1))?;
                    object.root().next.store(node)?;
                }
            }
            _ => {
                if let Some(object) = mine.first() {
                    space.backend().copy(object.id(), &NewObject::default())?;
                }
            }
        }
        mine.truncate(20);
    }
}

fn adopt(pool: &str, name: &str) -> Outcome {
    println!("{}", Space::open(pool)?.resolve(name)?);
    Ok(())
}

fn hold(pool: &str, id: &str) -> Outcome {
    let space = Space::open(pool)?;
    let object = space.open_object::<Node>(id.parse()?)?;
    let _writer = object.lock()?;
    println!("locked");
    thread::sleep(Duration::from_secs(600));
    Ok(())
}

/// Follows a late-bound pointer in the object called `name` until it is told to stop.
fn follow(pool: &str, name: &str) -> Outcome {
    let space = Space::open(pool)?;
    let holder = space.open_name::<Node>(name)?;
    println!("{:#x}", holder.address());
    for line in std::io::stdin().lines() {
        if line? == "stop" {
            break;
        }
        match holder.root().next.lea() {
            Ok(node) => println!("{}", node.value.get()),
            Err(error) => println!("error: {error}"),
        }
    }
    Ok(())
}

fn see_view(pool: &str, view: &str, slot: &str) -> Outcome {
    let space = Space::open(pool)?;
    space.set_view(Some(view.parse()?))?;
    let shown = space.view().get(slot.parse()?)?.ok_or("the slot shows nothing")?;
    println!("{}", shown.id);
    let object = space.open_object::<Node>(shown.id)?;
    println!("{}", object.slot());
    Ok(())
}

/// One operation on the pool that `tests/processes/kill.rs` made.
fn once(pool: &str, what: &str) -> Outcome {
    let space = Space::open(pool)?;
    let pool = space.backend();
    let id = |name: &str| space.resolve(name);
    match what {
        "create" => drop(space.create(Node::new(5))?),
        "bind" => pool.bind("new", id("a")?, true)?,
        "rebind" => pool.bind("a", id("b")?, true)?,
        "unbind" => match pool.unbind("b") {
            Err(twz::Error::NoName(_)) => {}
            other => other?,
        },
        "rename" => match pool.rename("a", "b") {
            Err(twz::Error::NoName(_)) => {}
            other => other?,
        },
        "delete" => match pool.unbind("c") {
            Ok(()) | Err(twz::Error::NoName(_)) => {
                let mut unnamed = Vec::new();
                pool.list(&mut |id| {
                    unnamed.push(id);
                    Ok(())
                })?;
                for id in unnamed {
                    if pool.stat(id)?.names == 0 && pool.stat(id)?.kind == twz::kind::TYPED {
                        pool.delete(id)?;
                    }
                }
            }
            Err(error) => return Err(error.into()),
        },
        "copy" => pool.copy(id("a")?, &NewObject::default()).map(|_| ())?,
        "seal" => {
            let new = NewObject { flags: twz::flags::IMMUTABLE, ..NewObject::default() };
            pool.copy(id("a")?, &new)?;
        }
        "grow" => pool.resize(id("a")?, 100_000)?,
        "shrink" => pool.resize(id("a")?, 64)?,
        "adopt" => id("file").map(|_| ())?,
        "insert" => {
            // Past the tail page: the table takes pages of its own.
            let hub = space.open_name::<Node>("a")?;
            for i in 1..200 {
                let far = ObjectId::from_u128(i << 64 | i);
                hub.root().next.store_global(Global { id: far, offset: 4096 }, Rights::READ)?;
            }
        }
        "alloc" => {
            let object = space.open_name::<Node>("a")?;
            for _ in 0..200 {
                object.root().next.store(object.alloc(Node::new(9))?)?;
            }
            object.alloc_slice(50_000, |i| i)?;
        }
        other => return Err(format!("no such operation: {other}").into()),
    }
    Ok(())
}

/// As a user who may only read: reading works, every change says so.
fn try_writing(pool: &str, id: &str) -> Outcome {
    let space = Space::open(pool)?;
    let object = space.open_object::<Node>(id.parse()?)?;
    println!("{}", object.root().value.get());
    println!("{}", object.root().value.set(1).unwrap_err());
    println!("{}", object.root().next.store(object.root()).unwrap_err());
    println!("{}", space.create(Node::new(1)).map(|_| ()).unwrap_err());
    println!("{}", space.bind("x", object.id()).unwrap_err());
    println!("{}", space.backend().delete(object.id()).unwrap_err());
    println!("{}", object.resize(1 << 20).unwrap_err());
    Ok(())
}

/// Opens two objects that may only be read, and writes to them when it is told
/// that they may be written: to one by asking, to the other by just storing.
fn late_right(pool: &str, a: &str, b: &str) -> Outcome {
    let space = Space::open(pool)?;
    let [a, b] = [a, b].map(|id| space.open_object::<Node>(id.parse().expect("an id")));
    let (a, b) = (a?, b?);
    println!("{}", a.root().value.set(5).unwrap_err());
    std::io::stdin().read_line(&mut String::new())?;
    a.root().value.set(5)?;
    // SAFETY: a place in the data of `b`, aligned; the fault handler asks again
    // for the right to write to it.
    unsafe { ((b.address() + 4096) as *mut u64).write_volatile(6) };
    println!("{} {}", a.root().value.get(), b.root().value.get());
    Ok(())
}

/// Makes objects and values until there is no room, and says what it was told.
fn fill_disk(pool: &str) -> Outcome {
    let space = Space::open(pool)?;
    let keep = space.open_name::<Node>("keep")?;
    let mut made = 0u64;
    let error = loop {
        match keep.alloc_slice(1 << 12, |i| i) {
            Ok(values) => made += values.len() as u64,
            Err(error) => break error,
        }
    };
    println!("{made} values, then: {error}");
    let error = loop {
        if let Err(error) = space.create(Node::new(1)) {
            break error;
        }
    };
    println!("then: {error}");
    println!("{}", keep.root().value.get());
    Ok(())
}

/// Stores to an object that it may only read, past every check.
fn store_denied(pool: &str, id: &str) -> Outcome {
    let space = Space::open(pool)?;
    let object = space.open_object_read::<Node>(id.parse()?)?;
    let at = object.address() + 4096;
    // SAFETY: not safe at all, which is the point: the hardware must say no.
    unsafe { (at as *mut u64).write_volatile(1) };
    println!("the store went through");
    Ok(())
}

/// Faults outside the arena, and refusals inside, reach the program's own handler.
fn own_handler(pool: &str, id: &str) -> Outcome {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn handler(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel passes a valid siginfo.
        let address = unsafe { (*info).si_addr() } as usize;
        // Formatting allocates, which no handler should; this one is the end.
        println!("own handler: {address:#x}");
        // SAFETY: no preconditions; ends the process without running anything.
        unsafe { libc::_exit(0) };
    }
    let action =
        SigAction::new(SigHandler::SigAction(handler), SaFlags::SA_ONSTACK, SigSet::empty());
    // SAFETY: the handler has the signature that it is installed with.
    unsafe { sigaction(Signal::SIGSEGV, &action)? };
    let space = Space::open(pool)?;
    let target: ObjectId = id.parse()?;
    let object = space.open_object_read::<Node>(target)?;
    // A fault that the library resolves does not reach it.
    space.view().set(99, target, Rights::READ)?;
    // SAFETY: the view shows an object there.
    println!("{}", unsafe { ((space.view().address(99) + 4096) as *const u64).read_volatile() });
    let null = Ptr::<Node>::null();
    println!("{}", null.is_null());
    // SAFETY: not safe at all: the null page is never mapped.
    unsafe { (object.address() as *const u64).read_volatile() };
    Err("the null page was read".into())
}
