# SPDX-License-Identifier: MIT OR Apache-2.0
"""Single system calls, and what several processes see of one file.

A function each, called by name from sharing.sh in an empty directory that is under
test. Nothing here knows of objects: it states what Linux does with any file.
"""
import array
import ctypes
import errno
import fcntl
import mmap
import os
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

PAGE = 4096


def child(work):
    """Runs `work` in a process of its own, and gives its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    return pid


def ended(*pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0, f"process {pid} failed"


def fails(wanted, call, *arguments, **named):
    """The call fails, with this errno and no other."""
    try:
        call(*arguments, **named)
    except OSError as error:
        assert error.errno == wanted, f"{errno.errorcode[error.errno]}, not {errno.errorcode[wanted]}"
        return
    raise AssertionError(f"it worked, and should be {errno.errorcode[wanted]}")


def made(name, text=b""):
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    assert os.write(fd, text) == len(text)
    return fd


def append_from_many():
    def work(who):
        fd = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for n in range(300):
            line = f"{who} {n} ".ljust(40 + n % 60, "x") + "\n"
            assert os.write(fd, line.encode()) == len(line)

    ended(*[child(lambda who=who: work(who)) for who in range(8)])
    with open("log") as log:
        lines = [line.split() for line in log]
    for who in range(8):
        assert [int(n) for w, n, *_ in lines if w == str(who)] == list(range(300))


def mmap_shared():
    fd = made("f", bytes(4 * PAGE))
    with mmap.mmap(fd, 4 * PAGE) as ours:
        def work():
            with open("f", "r+b") as f, mmap.mmap(f.fileno(), 4 * PAGE) as theirs:
                while theirs[0] != 1:
                    pass
                theirs[2 * PAGE] = 7
                theirs[1] = 2

        pid = child(work)
        ours[0] = 1
        while ours[1] != 2:
            pass
        assert ours[2 * PAGE] == 7 and os.pread(fd, 1, 2 * PAGE) == b"\7"
        # What is written is seen in the mapping, and the other way round.
        os.pwrite(fd, b"written", 3 * PAGE)
        assert ours[3 * PAGE:3 * PAGE + 7] == b"written"
        ours[PAGE:PAGE + 6] = b"stored"
        assert os.pread(fd, 6, PAGE) == b"stored"
        ours.flush()
        ended(pid)
    # The mapping outlives descriptor and name; a longer file shows in a new one.
    os.truncate("f", 8 * PAGE)
    with mmap.mmap(fd, 8 * PAGE) as more:
        os.close(fd)
        os.unlink("f")
        more[7 * PAGE] = 9
        assert more[7 * PAGE] == 9 and more[0] == 1


def mmap_private():
    fd = made("f", b"a" * PAGE)
    with mmap.mmap(fd, PAGE, flags=mmap.MAP_PRIVATE) as own:
        own[0] = ord("b")
        assert os.pread(fd, 1, 0) == b"a"
    read_only = os.open("f", os.O_RDONLY)
    fails(errno.EACCES, mmap.mmap, read_only, PAGE, flags=mmap.MAP_SHARED, prot=mmap.PROT_WRITE)


def flock():
    one, other = made("f"), os.open("f", os.O_RDWR)
    fcntl.flock(one, fcntl.LOCK_EX)
    fails(errno.EWOULDBLOCK, fcntl.flock, other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    # It belongs to the open file: a fork has it, too, and the last one gives it back.
    read, write = os.pipe()

    def work():
        os.close(write)
        os.read(read, 1)

    pid = child(work)
    os.close(one)
    fails(errno.EWOULDBLOCK, fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(write)
    ended(pid)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def record_locks():
    fd = made("f", bytes(100))
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0)

    def work():
        other = os.open("f", os.O_RDWR)
        fails(errno.EAGAIN, fcntl.lockf, other, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
        fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10)
        asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
        told = struct.unpack("hhqqi", fcntl.fcntl(other, fcntl.F_GETLK, asked))
        assert told[0] == fcntl.F_WRLCK and told[4] == os.getppid(), told

    ended(child(work))
    # Any close of the file by the process gives its record locks back.
    os.close(os.open("f", os.O_RDONLY))

    def again():
        fcntl.lockf(os.open("f", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)

    ended(child(again))


def ofd_locks():
    lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 10, 0)
    one, other = made("f", bytes(100)), os.open("f", os.O_RDWR)
    fcntl.fcntl(one, fcntl.F_OFD_SETLK, lock)
    fails(errno.EAGAIN, fcntl.fcntl, other, fcntl.F_OFD_SETLK, lock)
    os.close(os.open("f", os.O_RDONLY))
    fails(errno.EAGAIN, fcntl.fcntl, other, fcntl.F_OFD_SETLK, lock)
    os.close(one)
    fcntl.fcntl(other, fcntl.F_OFD_SETLK, lock)


def locks_of_the_killed():
    fd = made("f", bytes(10))
    read, write = os.pipe()

    def work():
        own = os.open("f", os.O_RDWR)
        fcntl.flock(own, fcntl.LOCK_EX)
        fcntl.lockf(own, fcntl.LOCK_EX)
        os.write(write, b"x")
        time.sleep(1000)

    pid = child(work)
    os.read(read, 1)
    fails(errno.EWOULDBLOCK, fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def scm_rights():
    ours, theirs = socket.socketpair()

    def work():
        _, data, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(4))
        fd = array.array("i", data[0][2])[0]
        # Passed on, it is the same open file: one offset.
        assert os.read(fd, 3) == b"def" and os.write(fd, b"new") == 3
        theirs.send(b"x")

    pid = child(work)
    fd = made("f", b"abcdefghijkl")
    os.lseek(fd, 3, os.SEEK_SET)
    os.unlink("f")
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    ours.recv(1)
    ended(pid)
    assert os.lseek(fd, 0, os.SEEK_CUR) == 9 and os.pread(fd, 12, 0) == b"abcdefnewjkl"


def unlink_open():
    fd = made("f", b"before")
    os.unlink("f")
    assert not os.path.exists("f") and os.fstat(fd).st_nlink == 0
    os.write(fd, b" after")
    assert os.pread(fd, 100, 0) == b"before after"
    other = made("f", b"another")
    assert os.fstat(other).st_ino != os.fstat(fd).st_ino
    with open(f"/proc/self/fd/{fd}") as again:
        assert again.read() == "before after"
    # Replaced by a rename it lives on, too.
    made("g", b"third")
    os.rename("g", "f")
    assert os.pread(other, 100, 0) == b"another"


def o_tmpfile():
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"nameless")
    assert os.listdir(".") == []
    libc = ctypes.CDLL(None, use_errno=True)
    at_here, at_symlink_follow = -100, 0x400
    assert libc.linkat(at_here, f"/proc/self/fd/{fd}".encode(), at_here, b"named", at_symlink_follow) == 0
    with open("named") as f:
        assert f.read() == "nameless"


def offsets_over_fork():
    fd = made("f", b"0123456789")
    os.lseek(fd, 2, os.SEEK_SET)

    def work():
        assert os.read(fd, 3) == b"234"

    ended(child(work))
    assert os.read(fd, 1) == b"5"
    twin = os.dup(fd)
    os.lseek(twin, 8, os.SEEK_SET)
    assert os.read(fd, 1) == b"8"
    os.set_inheritable(fd, True)
    code = f"import os; assert os.read({fd}, 1) == b'9'"
    subprocess.run([sys.executable, "-c", code], check=True, close_fds=False)
    assert os.lseek(fd, 0, os.SEEK_CUR) == 10
    # Opened anew it has an offset of its own.
    assert os.read(os.open("f", os.O_RDONLY), 1) == b"0"


def close_on_exec():
    stays, goes = made("f"), made("g")
    os.set_inheritable(stays, True)
    code = f"import os; os.fstat({stays})\ntry: os.fstat({goes})\nexcept OSError: os._exit(0)\nos._exit(1)"
    subprocess.run([sys.executable, "-c", code], check=True, close_fds=False)


def exec_with_full_table():
    limit = 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    held = []
    try:
        while True:
            held.append(os.open("f", os.O_RDWR | os.O_CREAT, 0o644))
    except OSError as error:
        assert error.errno == errno.EMFILE
    for fd in held:
        os.set_inheritable(fd, True)
    os.write(held[0], b"x")
    if child_pid := os.fork():
        ended(child_pid)
    else:
        # A static one: another has no number left to open its libraries with.
        test = f"test -e /proc/self/fd/{held[-1]} && echo told"
        os.dup2(held[1], 1)
        os.execv(shutil.which("busybox"), ["busybox", "sh", "-c", test])
    assert len(held) > 200 and os.pread(held[0], 10, 0) == b"told\n"


def close_range():
    fds = [made(f"f{n}", b"x") for n in range(10)]
    os.closerange(fds[0], fds[-1] + 1)
    # The numbers come again, and mean other files.
    again = made("g", b"another")
    assert again == fds[0] and os.pread(again, 10, 0) == b"another"
    assert os.path.getsize("f0") == 1


def sendfile():
    fd, to = made("f", os.urandom(300000)), made("g")
    ours, theirs = socket.socketpair()

    def work():
        ours.close()
        got = b""
        while part := theirs.recv(65536):
            got += part
        assert got == os.pread(fd, 300000, 0)

    pid = child(work)
    theirs.close()
    at = 0
    while sent := os.sendfile(ours.fileno(), fd, at, 300000):
        at += sent
    ours.close()
    ended(pid)
    assert os.sendfile(to, fd, 1000, 5000) == 5000 and os.pread(to, 5000, 0) == os.pread(fd, 5000, 1000)


def copy_file_range():
    text = os.urandom(100000)
    fd, to = made("f", text), made("g", b"0123456789")
    done = 0
    while done < 90000:
        got = os.copy_file_range(fd, to, 90000 - done, 5000 + done, 7 + done)
        assert got > 0
        done += got
    assert os.pread(to, 100007, 0) == b"0123456" + text[5000:95000]
    assert os.copy_file_range(fd, fd, 100, 0, 200000) == 100 and os.fstat(fd).st_size == 200100


def splice():
    fd, to = made("f", b"through a pipe" * 100), made("g")
    read, write = os.pipe()
    assert os.splice(fd, write, 1400, offset_src=0) == 1400
    assert os.splice(read, to, 1400) == 1400 and os.pread(to, 2000, 0) == b"through a pipe" * 100


def seek_data_and_hole():
    fd = made("f")
    os.ftruncate(fd, 1 << 20)
    os.pwrite(fd, b"x", 1 << 19)
    start = os.lseek(fd, 0, os.SEEK_DATA)
    assert start <= 1 << 19 and os.lseek(fd, start, os.SEEK_HOLE) > 1 << 19
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
    fails(errno.ENXIO, os.lseek, fd, 1 << 20, os.SEEK_DATA)
    os.posix_fallocate(fd, 0, 2 << 20)
    assert os.fstat(fd).st_size == 2 << 20
    fails(errno.EINVAL, os.lseek, fd, -1, os.SEEK_SET)


def vectors():
    fd = made("f")
    assert os.writev(fd, [b"one", b"", b"two"]) == 6
    a, b = bytearray(2), bytearray(10)
    assert os.preadv(fd, [a, b], 1) == 5 and a == b"ne" and b[:3] == b"two"
    assert os.pwritev(fd, [b"X", b"Y"], 10) == 2 and os.fstat(fd).st_size == 12
    os.lseek(fd, 0, os.SEEK_SET)
    assert os.readv(fd, [a]) == 2 and os.lseek(fd, 0, os.SEEK_CUR) == 2
    assert os.pread(fd, 10, 12) == b"" and os.pread(fd, 4, 6) == bytes(4)


def rename_flags():
    libc = ctypes.CDLL(None, use_errno=True)

    def rename(old, new, flags):
        if libc.renameat2(-100, old, -100, new, flags):
            raise OSError(ctypes.get_errno(), "")

    made("a", b"A"), made("b", b"B")
    fails(errno.EEXIST, rename, b"a", b"b", 1)
    rename(b"a", b"b", 2)
    assert open("a").read() == "B" and open("b").read() == "A"
    rename(b"a", b"c", 1)
    assert sorted(os.listdir(".")) == ["b", "c"]
    os.link("b", "d")
    os.rename("b", "d")
    assert os.path.exists("b"), "two names of one file: nothing is renamed"
    os.mkdir("e"), os.mkdir("e/f")
    fails(errno.EINVAL, os.rename, "e", "e/f/g")
    fails(errno.EISDIR, os.rename, "c", "e")


def at_family():
    os.mkdir("d")
    d = os.open("d", os.O_RDONLY | os.O_DIRECTORY)
    fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=d)
    fails(errno.EEXIST, os.open, "f", os.O_CREAT | os.O_EXCL, dir_fd=d)
    os.symlink("f", "l", dir_fd=d)
    assert os.readlink("l", dir_fd=d) == "f"
    assert os.stat("l", dir_fd=d).st_ino == os.fstat(fd).st_ino
    assert stat.S_ISLNK(os.stat("l", dir_fd=d, follow_symlinks=False).st_mode)
    fails(errno.ELOOP, os.open, "l", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=d)
    os.rename("d", "moved")
    os.rename("f", "g", src_dir_fd=d, dst_dir_fd=d)
    os.mkdir("sub", dir_fd=d)
    os.unlink("l", dir_fd=d)
    os.rmdir("sub", dir_fd=d)
    assert os.listdir("moved") == ["g"] and os.access("g", os.R_OK, dir_fd=d)


def getcwd_moved():
    os.makedirs("a/b")
    top = os.getcwd()
    os.chdir("a/b")
    os.rename(top + "/a", top + "/z")
    assert os.getcwd() == top + "/z/b"
    made("f", b"x")
    assert os.path.exists(top + "/z/b/f")
    os.unlink("f")
    os.rmdir(top + "/z/b")
    fails(errno.ENOENT, os.getcwd)
    fails(errno.ENOENT, made, "g")


def long_sparse():
    """Longer than an object can be: a file goes on being one."""
    end = 10 << 30
    fd = made("f", b"start")
    os.ftruncate(fd, end)
    for at in (1 << 30) - 4, (2 << 30) - 1, (4 << 30) - 2, end - 6:
        assert os.pwrite(fd, b"across", at) == 6 and os.pread(fd, 6, at) == b"across"
    assert os.fstat(fd).st_size == end and os.fstat(fd).st_blocks < 10000
    assert os.lseek(fd, -6, os.SEEK_END) == end - 6 and os.read(fd, 10) == b"across"
    with mmap.mmap(fd, PAGE, offset=4 << 30) as high:
        high[0] = 1
    assert os.pread(fd, 1, 4 << 30) == b"\1" and os.pread(fd, 3, 3 << 30) == bytes(3)
    os.ftruncate(fd, 3 << 30)
    os.ftruncate(fd, end)
    assert os.pread(fd, 6, end - 6) == bytes(6)


def killed_writer():
    """What was written before a kill is there; what comes after it is not torn."""
    read, write = os.pipe()

    def work():
        fd = os.open("f", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        n = 0
        while True:
            os.write(fd, struct.pack("QQ", n, ~n & (1 << 64) - 1) * 8)
            n += 1
            if n == 200:
                os.write(write, b"x")

    pid = child(work)
    os.read(read, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    data = open("f", "rb").read()
    assert len(data) % 128 == 0 and len(data) >= 200 * 128
    for n in range(len(data) // 128):
        assert data[n * 128:(n + 1) * 128] == struct.pack("QQ", n, ~n & (1 << 64) - 1) * 8


def signals():
    """A signal in the middle changes nothing of what is read and written."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    fd = made("f")
    for n in range(300):
        assert os.write(fd, bytes([n % 256]) * 10000) == 10000
    for n in range(300):
        assert os.pread(fd, 10000, n * 10000) == bytes([n % 256]) * 10000
    signal.setitimer(signal.ITIMER_REAL, 0)


def errnos():
    fd = made("f", b"x")
    os.mkdir("d"), os.symlink("l", "l"), os.symlink("nowhere", "n")
    fails(errno.ENOENT, os.open, "none", os.O_RDONLY)
    fails(errno.ENOENT, os.open, "", os.O_RDONLY)
    fails(errno.ENOENT, os.open, "n", os.O_RDONLY)
    fails(errno.ENOTDIR, os.open, "f/g", os.O_RDONLY)
    fails(errno.ENOTDIR, os.open, "f/", os.O_RDONLY)
    fails(errno.EISDIR, os.open, "d", os.O_WRONLY)
    fails(errno.EISDIR, os.unlink, "d")
    fails(errno.ENOTDIR, os.rmdir, "f")
    fails(errno.ELOOP, os.open, "l", os.O_RDONLY)
    fails(errno.ENAMETOOLONG, os.open, "n" * 256, os.O_RDONLY | os.O_CREAT)
    fails(errno.ENAMETOOLONG, os.open, "d/" * 2048 + "f", os.O_RDONLY)
    fails(errno.EEXIST, os.mkdir, "d")
    fails(errno.EEXIST, os.link, "f", "d")
    fails(errno.EXDEV, os.link, "/proc/version", "v")
    fails(errno.EINVAL, os.readlink, "f")
    fails(errno.EINVAL, os.ftruncate, fd, -1)
    fails(errno.EBADF, os.write, os.open("f", os.O_RDONLY), b"x")
    fails(errno.EBADF, os.read, os.open("f", os.O_WRONLY), 1)
    fails(errno.EISDIR, os.read, os.open("d", os.O_RDONLY), 1)
    fails(errno.ESPIPE, os.lseek, os.pipe()[0], 0, os.SEEK_SET)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    assert os.pwrite(fd, b"x" * 2000, 0) == 1000
    fails(errno.EFBIG, os.pwrite, fd, b"x", 1000)
    if os.geteuid() == 0:
        def work():
            os.chmod("f", 0o600), os.chmod(".", 0o755)
            os.setgroups([])
            os.setgid(65534), os.setuid(65534)
            fails(errno.EACCES, os.open, "f", os.O_RDONLY)
            fails(errno.EACCES, made, "new")
            fails(errno.EPERM, os.chmod, "f", 0o777)
            fails(errno.EPERM, os.chown, "f", 65534, -1)

        ended(child(work))


def leases():
    """A lease tells its holder that another comes."""
    told = []
    signal.signal(signal.SIGIO, lambda *_: told.append(1))
    fd = made("f", b"x")
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    def work():
        fails(errno.EWOULDBLOCK, os.open, "f", os.O_RDONLY | os.O_NONBLOCK)

    ended(child(work))
    while not told:
        time.sleep(0.01)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    ended(child(lambda: os.close(os.open("f", os.O_RDWR))))


def xattrs():
    fd = made("f", b"x")
    os.setxattr("f", "user.colour", b"green")
    assert os.getxattr(fd, "user.colour") == b"green" and "user.colour" in os.listxattr("f")
    os.removexattr("f", "user.colour")
    fails(errno.ENODATA, os.getxattr, "f", "user.colour")


def times():
    fd = made("f", b"x")
    os.utime("f", ns=(1_500_000_000_123_456_789, 1_600_000_000_987_654_321))
    now = os.stat("f")
    assert (now.st_atime_ns, now.st_mtime_ns) == (1_500_000_000_123_456_789, 1_600_000_000_987_654_321)
    for change in (lambda: os.write(fd, b"y"), lambda: os.pwrite(fd, b"z", 0), lambda: os.ftruncate(fd, 10)):
        os.utime("f", (0, 0))
        change()
        assert os.stat("f").st_mtime > 1e9, "a change moves mtime"
    with mmap.mmap(fd, 10) as mapped:
        os.utime("f", (0, 0))
        mapped[0] = 1
        mapped.flush()
    assert os.stat("f").st_mtime > 1e9, "a store and msync move mtime"
    before = os.stat("f").st_ctime_ns
    time.sleep(0.02)
    os.chmod("f", 0o600)
    assert os.stat("f").st_ctime_ns > before


globals()[sys.argv[1]]()
