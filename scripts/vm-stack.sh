#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints how much of a kernel's stack a verification takes at most, by the code of the
# module as it is loaded: the deepest way that leads from a command to it, and the deepest
# one down from there, each function with its frame.
#   vm-stack.sh MODULE        twz.ko, with its relocations
# Reports KTAP: not ok if that is more than 12 of the 16 KiB that a stack has (a system call
# has taken less than one, and an interrupt has a stack of its own), or if below the
# verification something calls itself, or an address, of which nobody can say here how deep
# it goes.
set -euo pipefail

objdump -dr --no-show-raw-insn "$1" | awk -v limit=12288 '
    function number(hex, value, i) {
        for (i = 3; i <= length(hex); i++) value = 16 * value + index("0123456789abcdef", substr(hex, i, 1)) - 1
        return value
    }
    # Bytes below the caller of f, and what is called on the way. A jump to another function
    # counts as a call, which is too much, never too little.
    function depth(f, list, count, i, below, deepest) {
        if (f in known) return known[f]
        if (f in under_way) { wrong = wrong " " f " calls itself;"; return 0 }
        if (f in unknown) wrong = wrong " " f " calls an address;"
        under_way[f]
        count = split(calls[f], list, " ")
        for (i = 1; i <= count; i++) {
            below = depth(list[i])
            if (below > deepest) { deepest = below; next_down[f] = list[i] }
        }
        delete under_way[f]
        return known[f] = frame[f] + deepest
    }
    # The same, of ways that lead to the verification alone: 0 if none does.
    function way(f, list, count, i, below, deepest) {
        if (f == verify) return depth(f)
        if (f in ways) return ways[f]
        ways[f] = 0
        count = split(calls[f], list, " ")
        for (i = 1; i <= count; i++) {
            below = way(list[i])
            if (below > deepest) { deepest = below; next_down[f] = list[i] }
        }
        return ways[f] = deepest ? frame[f] + deepest : 0
    }
    /^[0-9a-f]+ <.*>:$/ {
        name = substr($2, 2, length($2) - 3)
        # What a call leaves.
        frame[name] = 8
        if (name ~ /^_R.*7Ed25519.*8Verifier6verify$/) verify = name
        next
    }
    /R_X86_64_(PLT32|PC32)/ && goes {
        to = $3
        sub(/[-+]0x[0-9a-f]+$/, "", to)
        # Another place in the same section is told by its own name, in the line before.
        if (to !~ /^\./) calls[name] = calls[name] " " to
        if (to ~ /^__x86_indirect_thunk/) unknown[name]
        next
    }
    /^ *[0-9a-f]+:/ {
        goes = $2 ~ /^(call|j[a-z]+)$/
        if ($2 == "push") frame[name] += 8
        else if ($2 == "sub" && $3 ~ /^\$0x[0-9a-f]+,%rsp$/) {
            bytes = $3
            sub(/,%rsp/, "", bytes)
            frame[name] += number(substr(bytes, 2))
        } else if (goes && $0 ~ /\*/) unknown[name]
        else if (goes && match($0, /<[^>+]+/)) {
            to = substr($0, RSTART + 1, RLENGTH - 1)
            if (to != name) calls[name] = calls[name] " " to
        }
    }
    END {
        print "KTAP version 1\n1..1"
        for (f in frame) if (way(f) > whole) { whole = way(f); top = f }
        for (f = top; f; f = next_down[f]) if (frame[f]) print "# " frame[f] " " f
        if (wrong) print "#" wrong
        # Less than a page, and it was not the verification.
        good = depth(verify) > 4096 && whole > depth(verify) && whole <= limit && !wrong
        print (good ? "ok" : "not ok") " 1 stack/a_verification # " depth(verify) " bytes, " whole \
            " with all that leads to it, of " limit " at most"
        exit !good
    }' | c++filt | sed -E 's/\[[0-9a-f]{16}\]//g; s/(.{160}).*/\1.../'
