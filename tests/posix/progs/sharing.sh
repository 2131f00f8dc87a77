#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# What several processes do with one file, and single system calls that programs rarely
# make: the functions of calls.py, a process each.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/shared.sh"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
call() { /usr/bin/python3 "$here/calls.py" "$1"; }

quick_append_from_many() { call append_from_many; }
quick_mmap_shared() { call mmap_shared; }
quick_mmap_private() { call mmap_private; }
quick_flock() { call flock; }
quick_record_locks() { call record_locks; }
quick_ofd_locks() { call ofd_locks; }
quick_locks_of_the_killed() { call locks_of_the_killed; }
quick_scm_rights() { call scm_rights; }
quick_unlink_open() { call unlink_open; }
quick_o_tmpfile() { call o_tmpfile; }
quick_offsets_over_fork() { call offsets_over_fork; }
quick_close_on_exec() { call close_on_exec; }
quick_exec_with_full_table() { call exec_with_full_table; }
quick_close_range() { call close_range; }
quick_sendfile() { call sendfile; }
quick_copy_file_range() { call copy_file_range; }
quick_splice() { call splice; }
quick_seek_data_and_hole() { call seek_data_and_hole; }
quick_vectors() { call vectors; }
quick_rename_flags() { call rename_flags; }
quick_at_family() { call at_family; }
quick_getcwd_moved() { call getcwd_moved; }
quick_long_sparse() { call long_sparse; }
quick_killed_writer() { call killed_writer; }
quick_signals() { call signals; }
quick_errnos() { call errnos; }
quick_leases() { call leases; }
quick_xattrs() { call xattrs; }
quick_times() { call times; }

# fcntl's locks as util-linux takes them.
quick_flock_command() {
    echo 0 >n
    for _ in $(seq 8); do
        (for _ in $(seq 25); do flock lock sh -c 'echo $(($(cat n) + 1)) >n'; done) &
    done
    wait
    same n "$(<n)" 200
}

"$1"
