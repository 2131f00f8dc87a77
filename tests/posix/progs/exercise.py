# SPDX-License-Identifier: MIT OR Apache-2.0
"""What fsx does, by two processes on one file: random operations in turns, each through
descriptors of its own, and every byte checked against what both have done so far.

    exercise.py SEED TURNS
"""

import ctypes
import mmap
import os
import random
import struct
import sys

LONGEST = 256 * 1024
# fallocate's flags: it keeps the size, and makes a hole.
PUNCH = 0x01 | 0x02
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Model:
    """The file as it has to be, in memory that both see. Behind its end are zeros."""

    def __init__(self):
        self.memory = mmap.mmap(-1, 8 + LONGEST)

    @property
    def size(self):
        return struct.unpack_from("<q", self.memory)[0]

    def resize(self, size):
        self.put(size, bytes(max(0, self.size - size)))
        struct.pack_into("<q", self.memory, 0, size)

    def get(self, at, length):
        return self.memory[8 + at : 8 + max(at, min(at + length, self.size))]

    def put(self, at, text):
        self.memory[8 + at : 8 + at + len(text)] = text

    def write(self, at, text):
        if text:
            self.put(at, text)
            self.resize(max(self.size, at + len(text)))


class Exerciser:
    """One of the two, with its own descriptor and its own offset."""

    def __init__(self, who, seed, model):
        self.random = random.Random(f"{seed} {who}")
        self.model = model
        self.fd = None
        self.open_anew()

    def open_anew(self):
        if self.fd is not None:
            os.close(self.fd)
        self.fd = os.open("file", os.O_RDWR)
        self.at = 0

    def range(self):
        at = self.random.randrange(LONGEST // self.random.choice((1, 4, 64)))
        return at, min(self.random.choice((1, 100, 5000, 40000)), LONGEST - at)

    def text(self, length):
        return self.random.randbytes(length)

    def read(self):
        length = self.range()[1]
        got, wanted = os.read(self.fd, length), self.model.get(self.at, length)
        assert got == wanted, f"read {length} at {self.at}: {len(got)} bytes, not {len(wanted)}"
        self.at += len(got)

    def write(self):
        text = self.text(min(self.range()[1], LONGEST - self.at))
        assert os.write(self.fd, text) == len(text)
        self.model.write(self.at, text)
        self.at += len(text)

    def pread(self):
        at, length = self.range()
        got, wanted = os.pread(self.fd, length, at), self.model.get(at, length)
        assert got == wanted, f"pread {length} at {at}: {len(got)} bytes, not {len(wanted)}"

    def pwrite(self):
        at, length = self.range()
        text = self.text(length)
        assert os.pwrite(self.fd, text, at) == length
        self.model.write(at, text)

    def append(self):
        text = self.text(min(self.range()[1], LONGEST - self.model.size))
        fd = os.open("file", os.O_WRONLY | os.O_APPEND)
        assert os.write(fd, text) == len(text)
        os.close(fd)
        self.model.write(self.model.size, text)

    def fill(self):
        """So that there are no holes, and a file that may be mapped, for whoever opens it next."""
        text = self.text(LONGEST)
        assert os.pwrite(self.fd, text, 0) == LONGEST
        self.model.write(0, text)
        self.open_anew()

    def seek(self):
        self.at = os.lseek(self.fd, self.range()[0], os.SEEK_SET)

    def look(self):
        """At the size: as it is told, and as the end is."""
        assert os.fstat(self.fd).st_size == self.model.size, "fstat"
        assert os.lseek(self.fd, 0, os.SEEK_END) == self.model.size, "the end"
        self.at = self.model.size

    def truncate(self):
        size = self.range()[0]
        os.ftruncate(self.fd, size)
        self.model.resize(size)

    def punch(self):
        at, length = self.range()
        if libc.fallocate(self.fd, PUNCH, at, length) != 0:
            raise OSError(ctypes.get_errno(), "fallocate")
        self.model.put(at, bytes(len(self.model.get(at, length))))

    def through_mapping(self):
        at, length = self.range()
        if not self.model.get(at, length):
            return
        length = len(self.model.get(at, length))
        with mmap.mmap(self.fd, self.model.size) as mapping:
            assert mapping[at : at + length] == self.model.get(at, length), f"mapped at {at}"
            text = self.text(length)
            mapping[at : at + length] = text
            self.model.put(at, text)

    def operate(self):
        often = [self.read, self.write, self.pread, self.pwrite, self.seek]
        seldom = [self.append, self.look, self.through_mapping, self.open_anew, self.fill]
        breaking = [self.truncate, self.punch]
        self.random.choice(often * 16 + seldom * 2 + breaking)()


def take_turns(who, seed, turns, model, mine, others):
    """Works when it has the word, and then gives it to the other one."""
    exerciser = Exerciser(who, seed, model)
    for _ in range(turns):
        assert os.read(mine, 1) == b".", "the other one has failed"
        # Few that tell of a change at once, or many, so that calls are worth a mapping.
        for _ in range(exerciser.random.choice((1, 3, 60))):
            exerciser.operate()
        os.write(others, b".")


def main():
    seed, turns = int(sys.argv[1]), int(sys.argv[2])
    with open("file", "xb"):
        pass
    model = Model()
    ends = [os.pipe(), os.pipe()]
    os.write(ends[0][1], b".")
    children = []
    for who in range(2):
        child = os.fork()
        if child == 0:
            try:
                os.close(ends[1 - who][0])
                os.close(ends[who][1])
                take_turns(who, seed, turns, model, ends[who][0], ends[1 - who][1])
                os._exit(0)
            except BaseException as error:  # What it is, is all the parent can tell.
                print(f"process {who}, seed {seed}: {error!r}", file=sys.stderr, flush=True)
                os._exit(1)
        children.append(child)
    # While these are open here, the last word may be given to who has gone.
    for _, write in ends:
        os.close(write)
    if any([os.waitpid(child, 0)[1] for child in children]):
        sys.exit(1)
    with open("file", "rb") as file:
        assert file.read() == model.get(0, LONGEST), "at the end"


main()
