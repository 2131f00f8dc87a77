// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several processes on one pool: what they share, what a kill leaves, and what
//! one is told that may not or cannot.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
    time::Duration,
};

mod kill;

use twz::{ObjectId, Ptr, PtrSlice, Rights};
use twz_tests::{Hub, Node, TempPool, embedded_only};

fn worker(args: &[&str]) -> Command {
    let mut command = Command::new(twz_tests::worker(env!("CARGO_BIN_EXE_worker")));
    command.args(args);
    command
}

fn run(args: &[&str]) -> Vec<String> {
    let output = worker(args).output().unwrap();
    let lines = text(&output);
    assert!(
        output.status.success(),
        "{args:?}: {lines:?} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    lines
}

fn text(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect()
}

/// A worker that goes on, and is killed at the end of the test.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = worker(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().into()
    }

    fn ask(&mut self) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "go").unwrap();
        self.line()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn as_str(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A hub with `count` null pointers, and as many nodes named `t/I`.
fn hub(pool: &TempPool, count: u64) -> ObjectId {
    let space = pool.open();
    let hub = space.create(Hub { spokes: PtrSlice::empty() }).unwrap();
    hub.root().spokes.store(hub.alloc_slice(count, |_| Ptr::null()).unwrap()).unwrap();
    space.backend().make_dir("t").unwrap();
    for i in 0..count {
        let node = space.create(Node::new(i)).unwrap();
        space.bind(&format!("t/{i}"), node.id()).unwrap();
    }
    space.bind("hub", hub.id()).unwrap();
    hub.id()
}

#[test]
fn processes_that_insert_the_same_references_at_once_make_each_once() {
    let pool = TempPool::new();
    let count = 300;
    let id = hub(&pool, count).to_string();
    let path = pool.path();
    let workers: Vec<_> = (0..6)
        .map(|i| worker(&["insert", as_str(&path), &id, &i.to_string()]).spawn().unwrap())
        .collect();
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    let space = pool.open();
    let hub = space.open_object::<Hub>(id.parse().unwrap()).unwrap();
    let mut entries = HashSet::new();
    for (i, spoke) in hub.root().spokes.lea().unwrap().iter().enumerate() {
        assert_eq!(spoke.lea().unwrap().value.get(), i as u64);
        entries.insert(spoke.bits().index());
    }
    assert_eq!(entries.len() as u64, count);
    // Dense: nothing was made twice, nothing was left behind.
    assert_eq!(entries.into_iter().max(), Some(count as u32));
}

#[test]
fn a_kill_at_any_instant_leaves_a_pool_that_works() {
    let pool = TempPool::new();
    hub(&pool, 50);
    let path = pool.path();
    for round in 0..30u64 {
        let mut hammers: Vec<_> = (0..2)
            .map(|i| Running::start(&["hammer", as_str(&path), &(round * 2 + i).to_string()]))
            .collect();
        for hammer in &mut hammers {
            assert_eq!(hammer.line(), "ready");
        }
        thread::sleep(Duration::from_micros(500 + round * 1700 % 9000));
        hammers.iter_mut().for_each(Running::kill);
        let space = pool.open();
        let hub = space.open_name::<Hub>("hub").unwrap();
        for spoke in hub.root().spokes.lea().unwrap() {
            match spoke.get() {
                Ok(_) | Err(twz::Error::NoObject(_)) => {}
                Err(error) => panic!("round {round}: {error}"),
            }
        }
        space.backend().list(&mut |id| space.backend().stat(id).map(|_| ())).unwrap();
        space.backend().read_dir("", &mut |_, _| Ok(())).unwrap();
    }
    assert_eq!(twz_tests::check_pool(&path), Vec::<String>::new());
}

#[test]
fn a_file_is_adopted_once_however_many_ask() {
    embedded_only!("names are no files there");
    let pool = TempPool::new();
    let path = pool.path();
    for i in 0..20 {
        let name = format!("file{i}");
        fs::write(path.join("names").join(&name), b"some bytes").unwrap();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                worker(&["adopt", as_str(&path), &name]).stdout(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let ids: HashSet<_> =
            workers.into_iter().map(|w| text(&w.wait_with_output().unwrap())).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    let mut objects = 0;
    pool.open()
        .backend()
        .list(&mut |_| {
            let _: () = objects += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(objects, 20);
}

#[test]
fn a_lock_dies_with_its_holder() {
    let pool = TempPool::new();
    let space = pool.open();
    let object = space.create(Node::new(1)).unwrap();
    let path = pool.path();
    let mut holder = Running::start(&["hold", as_str(&path), &object.id().to_string()]);
    assert_eq!(holder.line(), "locked");
    let killer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        holder.kill();
    });
    let started = std::time::Instant::now();
    drop(object.lock().unwrap());
    assert!(
        started.elapsed() > Duration::from_millis(50),
        "the lock was not held by the other process"
    );
    killer.join().unwrap();
}

#[test]
fn a_running_process_sees_a_rebinding_at_once_and_maps_elsewhere() {
    let pool = TempPool::new();
    let space = pool.open();
    let (a, b) = (space.create(Node::new(1)).unwrap(), space.create(Node::new(2)).unwrap());
    let holder = space.create(Node::new(0)).unwrap();
    space.bind("holder", holder.id()).unwrap();
    space.bind("it", a.id()).unwrap();
    holder.root().next.store_name("it", 4096, Rights(3)).unwrap();
    let path = pool.path();
    let mut other = Running::start(&["follow", as_str(&path), "holder"]);
    assert_ne!(other.line(), format!("{:#x}", holder.address()));
    for _ in 0..50 {
        assert_eq!(other.ask(), "1");
        space.bind("it", b.id()).unwrap();
        assert_eq!(other.ask(), "2");
        space.bind("it", a.id()).unwrap();
    }
    space.backend().unbind("it").unwrap();
    assert!(other.ask().contains("no such name"));
}

#[test]
fn a_running_process_sees_a_retargeting_at_once() {
    let pool = TempPool::new();
    let space = pool.open();
    let nodes: Vec<_> = (0..20).map(|i| space.create(Node::new(i)).unwrap()).collect();
    let holder = space.create(Node::new(0)).unwrap();
    space.bind("holder", holder.id()).unwrap();
    holder.root().next.store(nodes[0].root()).unwrap();
    let path = pool.path();
    let mut other = Running::start(&["follow", as_str(&path), "holder"]);
    other.line();
    for (i, pair) in nodes.windows(2).enumerate() {
        assert_eq!(other.ask(), i.to_string());
        assert!(holder.retarget(pair[0].id(), pair[1].id()).unwrap());
        assert_eq!(other.ask(), (i + 1).to_string());
    }
}

#[test]
fn processes_that_share_a_view_share_its_slots() {
    let pool = TempPool::new();
    let space = pool.open();
    let id = space.create(Node::new(5)).unwrap().id();
    let view = space.create_view().unwrap();
    space.set_view(Some(view)).unwrap();
    let object = space.open_object::<Node>(id).unwrap();
    let slot = object.slot().to_string();
    let lines = run(&["see-view", as_str(&pool.path()), &view.to_string(), &slot]);
    assert_eq!(lines, [id.to_string(), slot]);
}

/// A worker that the modes of files bind: root reads and writes whatever they say.
fn unprivileged(pool: &TempPool, args: &[&str]) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return worker(args);
    }
    // Where the build put it, another user may not get.
    let copy = pool.path().parent().unwrap().join("worker");
    // By another process: what this one writes, a child of another test may have open, too, and
    // then it cannot be run.
    let mut cp = Command::new("cp");
    assert!(cp.arg(env!("CARGO_BIN_EXE_worker")).arg(&copy).status().unwrap().success());
    let mut command = Command::new(copy);
    command.args(args).uid(65534).gid(65534);
    command
}

#[test]
fn an_access_that_becomes_allowed_later_simply_works() {
    embedded_only!("rights are no file modes there");
    let pool = TempPool::within(Path::new("/var/tmp"));
    let space = pool.open();
    let ids = [1, 2].map(|i| space.create(Node::new(i)).unwrap().id().to_string());
    let path = pool.path();
    let chmod = |mode: &str, what: &Path| {
        assert!(Command::new("chmod").args(["-R", mode]).arg(what).status().unwrap().success());
    };
    chmod("a+rwX", path.parent().unwrap());
    for id in &ids {
        chmod("a-w,a+X", &path.join("objects").join(&id[..2]));
    }
    let mut child = unprivileged(&pool, &["late-right", as_str(&path), &ids[0], &ids[1]])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.contains("does not grant"), "{line}");
    chmod("a+rwX", &path.join("objects"));
    writeln!(child.stdin.as_mut().unwrap(), "now").unwrap();
    line.clear();
    lines.read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(line.trim(), "5 6");
}

#[test]
fn who_may_only_read_reads_and_is_told_why_not_more() {
    embedded_only!("rights are no file modes there");
    // World-readable, owned by somebody else: for root that takes another user.
    let pool = TempPool::within(Path::new("/var/tmp"));
    let space = pool.open();
    let id = space.create(Node::new(77)).unwrap().id();
    let path = pool.path();
    let chmod = |mode: &str| {
        assert!(
            Command::new("chmod")
                .args(["-R", mode])
                .arg(path.parent().unwrap())
                .status()
                .unwrap()
                .success()
        );
    };
    chmod("a+rX,go-w");
    if !nix::unistd::geteuid().is_root() {
        chmod("a-w");
    }
    let mut command = unprivileged(&pool, &["try-writing", as_str(&path), &id.to_string()]);
    let output = command.output().unwrap();
    chmod("u+w");
    let lines = text(&output);
    assert!(output.status.success(), "{lines:?} {output:?}");
    assert_eq!(lines[0], "77");
    assert!(lines[1].contains("does not grant"), "{lines:?}");
    assert!(lines[2].contains("does not grant"), "{lines:?}");
    assert!(lines[3..].iter().all(|line| line.contains("can only be read")), "{lines:?}");
    assert_eq!(lines.len(), 7);
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    embedded_only!("it fills a file system");
    let mount = tempfile::tempdir().unwrap();
    let target = mount.path();
    // A small file system of its own, in a mount namespace of its own.
    let script = format!(
        "mount -t tmpfs -o size=3m twz {0} && mkdir {0}/x && exec {1} \"$@\"",
        target.display(),
        env!("CARGO_BIN_EXE_worker")
    );
    let probe = Command::new("unshare")
        .args(["-rm", "sh", "-c"])
        .arg(format!("mount -t tmpfs twz {}", target.display()))
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return twz_tests::skip("full disk", "no mount namespaces here: no disk is filled");
    }
    let pool = TempPool::new();
    let space = pool.open();
    let keep = space.create(Node::new(4711)).unwrap();
    space.bind("keep", keep.id()).unwrap();
    drop((keep, space));
    let script = script.replace(
        "exec",
        &format!("cp -a {} {}/x/ && exec", pool.path().display(), target.display()),
    );
    let inside = target.join("x/pool");
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script, "sh", "fill-disk", as_str(&inside)])
        .output()
        .unwrap();
    let lines = text(&output);
    assert!(output.status.success(), "{output:?}");
    assert!(lines[0].contains("values, then:") && lines[0].contains("full"), "{lines:?}");
    assert!(!lines[0].starts_with("0 values"), "{lines:?}");
    assert!(lines[1].contains("full"), "{lines:?}");
    assert_eq!(lines[2], "4711");
}

#[test]
fn a_refused_store_is_fatal_and_says_why() {
    let pool = TempPool::new();
    let id = pool.open().create(Node::new(1)).unwrap().id();
    let output = worker(&["store-denied", as_str(&pool.path()), &id.to_string()]).output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains(&id.to_string()) && message.contains("Write refused"), "{message}");
    assert_eq!(pool.open().open_object::<Node>(id).unwrap().root().value.get(), 1);
}

#[test]
fn faults_that_are_not_ours_reach_the_programs_own_handler() {
    let pool = TempPool::new();
    let id = pool.open().create(Node::new(31)).unwrap().id();
    let lines = run(&["own-handler", as_str(&pool.path()), &id.to_string()]);
    assert_eq!(lines[..2], ["31", "true"]);
    assert!(lines[2].starts_with("own handler: 0x"), "{lines:?}");
    assert_eq!(lines.len(), 3);
}
