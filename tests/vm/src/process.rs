// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes: children that run a closure, memory and descriptors that they
//! share, and what else takes a system call.

use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::{
    errno::{Errno, Result},
    map::Map,
    probe::atomic,
};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It was given no more time.
    TimedOut,
}

impl Status {
    fn of(status: i32) -> Self {
        match libc::WIFSIGNALED(status) {
            true => Self::Signalled(libc::WTERMSIG(status)),
            false => Self::Exited(libc::WEXITSTATUS(status)),
        }
    }
}

/// A child.
#[derive(Debug)]
pub struct Child {
    pid: i32,
}

/// Runs a closure in a child; what it returns is the exit code, 101 if it panics.
pub fn fork(run: impl FnOnce() -> i32) -> Child {
    // What another thread is printing right now would be printed for ever in the child, which
    // prints as well. (In the unit tests that thread is their harness.)
    let printing = (std::io::stdout().lock(), std::io::stderr().lock());
    // SAFETY: a test's process forks while it has no other thread, or execs soon.
    let pid = unsafe { libc::fork() };
    drop(printing);
    assert!(pid >= 0, "fork: {:?}", Errno::last());
    if pid == 0 {
        exit(catch_unwind(AssertUnwindSafe(run)).unwrap_or(101));
    }
    Child { pid }
}

/// Ends this process at once: nothing is dropped that is also the parent's.
pub fn exit(code: i32) -> ! {
    use std::io::Write as _;
    let _ = std::io::stdout().flush();
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

impl Child {
    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for its end.
    pub fn wait(&self) -> Status {
        wait_for(self.pid)
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<Status> {
        let mut status = 0;
        // SAFETY: `status` is ours to be written.
        let got = unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) };
        (got == self.pid).then(|| Status::of(status))
    }

    /// Waits for its end, which must be exit code 0.
    pub fn succeed(&self) {
        assert_eq!(self.wait(), Status::Exited(0), "a child of the test");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the child was not waited for yet, so its number is still its own.
        unsafe { libc::kill(self.pid, signal) };
    }

    /// Kills it and waits for its end.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
        assert_eq!(self.wait(), Status::Signalled(libc::SIGKILL));
    }

    /// Kills its process group.
    pub fn kill_group(&self) {
        // SAFETY: the group is the child's own.
        unsafe { libc::kill(-self.pid, libc::SIGKILL) };
    }
}

fn wait_for(pid: i32) -> Status {
    let mut status = 0;
    loop {
        // SAFETY: `status` is ours to be written.
        if unsafe { libc::waitpid(pid, &mut status, 0) } == pid {
            break;
        }
        assert_eq!(Errno::last(), Errno::EINTR, "waitpid");
    }
    Status::of(status)
}

/// Children of children become this process's when their parent dies.
pub fn adopt_orphans() {
    // SAFETY: a plain value.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
}

/// Waits for all children that have ended, and a moment for those that are about to.
pub fn reap_orphans() {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        // SAFETY: no status is asked for.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
            -1 => return,
            0 if Instant::now() > deadline => return,
            0 => std::thread::sleep(Duration::from_millis(5)),
            _ => {}
        }
    }
}

/// Who reaps orphans takes anybody's children, and a child has everybody's descriptors:
/// tests of this program that have some come one after the other.
#[cfg(test)]
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The programs that run: number, name, state and what they sleep in, for a report.
pub fn running() -> Vec<String> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let one = |dir: std::path::PathBuf| {
        // Threads of the kernel have no program.
        std::fs::read_link(dir.join("exe")).ok()?;
        let told = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        let stat: String = told("stat").chars().take(60).collect();
        Some(format!("{stat} ... in {}", told("wchan")))
    };
    all.filter_map(|entry| one(entry.ok()?.path())).collect()
}

/// Makes this process the leader of a group of its own.
pub fn own_group() {
    // SAFETY: plain values.
    unsafe { libc::setpgid(0, 0) };
}

/// Sends this process a signal.
pub fn kill_self(signal: i32) {
    // SAFETY: plain values.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// A pipe: where to read, where to write.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: the two descriptors are new and nobody else's.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0, "pipe2");
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

/// Makes standard output and error go there.
pub fn replace_output(to: &OwnedFd) {
    for fd in [1, 2] {
        // SAFETY: both are descriptors of this process.
        unsafe { libc::dup2(to.as_raw_fd(), fd) };
    }
}

/// Whether something can be read, or nobody can write any more, within a time.
pub fn readable(fd: RawFd, within: Duration) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure, ours.
    unsafe { libc::poll(&mut poll, 1, within.as_millis() as i32) > 0 }
}

/// Lets children of an exec inherit a descriptor.
pub fn keep_on_exec(fd: RawFd) {
    // SAFETY: plain values.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
}

/// Replaces this process by this same program with other arguments.
pub fn exec_self(arguments: &[&str]) -> Errno {
    use std::os::unix::process::CommandExt as _;
    let error = std::process::Command::new("/proc/self/exe").args(arguments).exec();
    Errno(error.raw_os_error().unwrap_or(0))
}

/// Words that all processes of a test share, zero at first.
pub struct Shared(Map);

impl Shared {
    /// For this process and the children it makes from now on.
    pub fn new() -> Self {
        Self(Map::inherited(4096).expect("shared memory"))
    }

    /// Word `i`.
    pub fn word(&self, i: usize) -> &AtomicU64 {
        assert!(i < 512);
        atomic(self.0.at(i * 8))
    }

    /// Says that step `i` is reached.
    pub fn set(&self, i: usize, value: u64) {
        self.word(i).store(value, Ordering::SeqCst);
    }

    /// What word `i` holds.
    pub fn get(&self, i: usize) -> u64 {
        self.word(i).load(Ordering::SeqCst)
    }

    /// One more; what it was.
    pub fn add(&self, i: usize, n: u64) -> u64 {
        self.word(i).fetch_add(n, Ordering::SeqCst)
    }

    /// Waits until word `i` is at least `value`.
    pub fn await_at_least(&self, i: usize, value: u64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.get(i) < value {
            assert!(Instant::now() < deadline, "word {i} is {} and not {value}", self.get(i));
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Two ends of a socket over which descriptors can be sent.
pub fn socket_pair() -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: the two descriptors are new and nobody else's.
    unsafe {
        let done = libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, fds.as_mut_ptr());
        assert_eq!(done, 0, "socketpair");
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

/// Room for one control message with one descriptor.
#[repr(C, align(8))]
struct Control([u8; 24]);

/// Calls `sendmsg` or `recvmsg` with one byte and room for one descriptor.
fn message(socket: &OwnedFd, send: Option<RawFd>) -> Result<RawFd> {
    let (mut byte, mut control) = ([1u8], Control([0; 24]));
    let mut vec = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all that the message points to lives until the call returns; the
    // control buffer is as long and aligned as one header and one int take.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&mut vec, 1);
        (message.msg_control, message.msg_controllen) = (control.0.as_mut_ptr().cast(), 24);
        let header = libc::CMSG_FIRSTHDR(&message);
        match send {
            Some(fd) => {
                (*header).cmsg_level = libc::SOL_SOCKET;
                (*header).cmsg_type = libc::SCM_RIGHTS;
                (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
                libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd);
                Errno::check(libc::sendmsg(socket.as_raw_fd(), &message, 0) as libc::c_long)?;
                Ok(fd)
            }
            None => {
                let got = libc::recvmsg(socket.as_raw_fd(), &mut message, 0);
                Errno::check(got as libc::c_long)?;
                let header = libc::CMSG_FIRSTHDR(&message);
                assert!(!header.is_null(), "no descriptor came");
                Ok(libc::CMSG_DATA(header).cast::<i32>().read_unaligned())
            }
        }
    }
}

/// Sends a descriptor.
pub fn send_fd(socket: &OwnedFd, fd: RawFd) -> Result {
    message(socket, Some(fd)).map(|_| ())
}

/// Receives a descriptor.
pub fn receive_fd(socket: &OwnedFd) -> Result<OwnedFd> {
    let fd = message(socket, None)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Any system call. Addresses are those of the test's own memory, or are to be refused.
pub fn syscall(number: libc::c_long, arguments: [usize; 6]) -> Result<usize> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the callers say above each call what the addresses are; what the
    // kernel may write is memory that only the test uses.
    Errno::check(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_travel() {
        // A child of another test would have the writing end, too.
        let _turn = alone();
        let (a, b) = socket_pair();
        let (reader, writer) = pipe();
        send_fd(&a, writer.as_raw_fd()).unwrap();
        let other = receive_fd(&b).unwrap();
        drop((writer, other));
        assert!(readable(reader.as_raw_fd(), Duration::ZERO), "the end is there to be read");
    }

    #[test]
    fn children_share_words() {
        let _turn = alone();
        let shared = Shared::new();
        let child = fork(|| {
            shared.set(3, 9);
            0
        });
        child.succeed();
        assert_eq!(shared.get(3), 9);
    }
}
