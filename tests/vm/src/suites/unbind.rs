// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device goes away under the module: what is mapped is SIGBUS, what is
//! asked is EIO, the module can be unloaded, and later all is there again.

use std::time::Duration;

use twz_abi::{ObjectId, PAGE, Rights, ioctl as abi, reason};
use twz_core::Identity;

use crate::{
    errno::Errno,
    file::File,
    ktap::Test,
    map::{self, HUGE, Map},
    module,
    options::options,
    probe,
    process::{self, Shared},
    sys::{self, Session},
    tests,
    world::{OPEN, RW, World},
};

/// The suite: these follow on each other.
pub const TESTS: &[Test] = tests![
    what_is_in_use_goes_with_the_device,
    who_comes_later_is_told,
    the_module_can_be_unloaded,
    without_the_device_it_is_not_loaded,
    with_the_device_everything_is_there,
];

const NONCE: [u8; 16] = *b"outlives its dev";

fn id() -> ObjectId {
    Identity { default_rights: OPEN.0, ..Identity::plain(NONCE) }.id().expect("an id")
}

/// Name of the pool's device on its bus.
fn on_the_bus() -> String {
    let name = options().device.trim_start_matches("/dev/").to_owned();
    let link = std::fs::canonicalize(format!("/sys/block/{name}/device")).expect("the device");
    link.file_name().expect("a name").to_string_lossy().into_owned()
}

const DRIVER: &str = "/sys/bus/nd/drivers/nd_pmem";

/// Where the name is kept while the device is away.
const NAME: &str = "/tmp/twz-unbound";

fn faults_as_gone(at: usize, what: &str) {
    for fault in [probe::load(at).map(|_| ()), probe::store(at, 1)] {
        let fault = fault.expect_err(what);
        assert_eq!((fault.signal, fault.address), (libc::SIGBUS, at), "{what}: {fault:?}");
    }
}

fn what_is_in_use_goes_with_the_device() {
    let world = World::new();
    let session = &world.session;
    let create = abi::Create {
        nonce: NONCE,
        size: 3 * HUGE as u64,
        default_rights: OPEN.0,
        ..Default::default()
    };
    // It is to stay: not made by the session, which would delete it.
    sys::command(session.raw(), abi::CREATE, &mut { create }).expect("CREATE");
    session.bind(b"/outlives", id(), false).expect("BIND");
    session.reserve(id(), 0, 3 * HUGE as u64).expect("RESERVE");
    world.show(2, id(), RW);
    let (small, large) = (world.at(2, 0), world.at(2, HUGE as u64 + PAGE));
    probe::store(small, 0x11).expect("a store");
    probe::store(large, 0x22).expect("a store");
    let file = File(session.open_fd(id(), RW).expect("OPEN_FD"));
    let mapped = Map::shared(&file.0, map::PAGE, map::RW).expect("mmap");
    assert_eq!(probe::load(mapped.at(0)), Ok(0x11));
    session.sync(id()).expect("SYNC");
    let shared = Shared::new();
    let sleeper = process::fork(|| {
        let own = Session::open();
        shared.set(0, 1);
        i32::from(own.wait(id(), PAGE, 0x11, u64::MAX) != Err(Errno::EIO))
    });
    shared.await_at_least(0, 1);
    std::thread::sleep(Duration::from_millis(300));
    let name = on_the_bus();
    std::fs::write(NAME, &name).expect("a note");
    std::fs::write(format!("{DRIVER}/unbind"), &name).expect("unbind");
    faults_as_gone(small, "a page of 4 KiB");
    assert_eq!(session.last_error().reason, reason::DEAD);
    faults_as_gone(large, "a page of 2 MiB");
    faults_as_gone(world.at(2, 100 * PAGE), "a page that was not mapped");
    faults_as_gone(mapped.at(0), "a page of a file");
    assert_eq!(session.stat(id()).map(|_| ()), Err(Errno::EIO), "STAT");
    assert_eq!(session.read(id(), PAGE, &mut [0; 8]), Err(Errno::EIO), "READ");
    assert_eq!(session.write(id(), PAGE, &[0; 8]), Err(Errno::EIO), "WRITE");
    assert_eq!(session.create_as(create), Err(Errno::EIO), "CREATE");
    assert_eq!(session.lookup(b"/outlives"), Err(Errno::EIO), "LOOKUP");
    assert_eq!(session.sync(id()), Err(Errno::EIO), "SYNC");
    assert_eq!(file.pread(&mut [0; 8], 0), Err(Errno::EIO), "read");
    assert_eq!(file.pwrite(&[0; 8], 0), Err(Errno::EIO), "write");
    assert_eq!(file.sync(), Err(Errno::EIO), "fsync");
    // Told once: whoever has heard it does not hear it again.
    let woken = sleeper.ended().or_else(|| {
        std::thread::sleep(Duration::from_secs(2));
        sleeper.ended()
    });
    sleeper.kill_group();
    sleeper.signal(libc::SIGKILL);
    assert_eq!(woken, Some(process::Status::Exited(0)), "who sleeps is told");
}

fn who_comes_later_is_told() {
    let device = match sys::open_device() {
        Ok(device) => device,
        Err(error) => return assert_eq!(error, Errno::EIO),
    };
    use std::os::fd::AsRawFd as _;
    let hello = sys::command(device.as_raw_fd(), abi::HANDSHAKE, &mut sys::greeting());
    if hello.is_ok() {
        let mut stat = abi::Stat { id: id(), ..Default::default() };
        let got = sys::command(device.as_raw_fd(), abi::STAT, &mut stat);
        assert_eq!(got, Err(Errno::EIO));
        let mut view = abi::SetView { view: id(), ..Default::default() };
        let got = sys::command(device.as_raw_fd(), abi::SET_VIEW, &mut view);
        assert_eq!(got, Err(Errno::EIO));
    } else {
        assert_eq!(hello, Err(Errno::EIO));
    }
}

fn the_module_can_be_unloaded() {
    assert_eq!(module::unload_soon(), Ok(()));
    assert!(!module::is_loaded());
}

fn without_the_device_it_is_not_loaded() {
    let mut log = module::Log::mark();
    assert!(module::load().is_err());
    assert!(!module::is_loaded());
    assert!(log.text().contains("twz"), "the log says why");
}

fn with_the_device_everything_is_there() {
    let name = std::fs::read_to_string(NAME).expect("the note");
    std::fs::write(format!("{DRIVER}/bind"), &name).expect("bind");
    let appears = || std::path::Path::new(&options().device).exists();
    for _ in 0..50 {
        if appears() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(appears(), "the device came back");
    assert_eq!(module::load(), Ok(()));
    let world = World::new();
    assert_eq!(world.session.lookup(b"/outlives"), Ok((1, id())));
    world.show(2, id(), Rights::READ);
    assert_eq!(probe::load(world.at(2, 0)), Ok(0x11));
    assert_eq!(probe::load(world.at(2, HUGE as u64 + PAGE)), Ok(0x22));
    world.session.unbind(b"/outlives").expect("UNBIND");
    assert_eq!(world.session.delete(id()), Ok(()));
}
