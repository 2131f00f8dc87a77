#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Fails if a kernel's log holds what a correct module never causes, and prints
# that part of it:
#   vm-log.sh LOG [ALLOWED]
# ALLOWED is a regular expression for lines that a test provokes on purpose.
set -euo pipefail

log=$1 allowed=${2:-}
bad='Oops|BUG:|kernel BUG|WARNING:|KASAN|UBSAN|general protection fault|Kernel panic|panicked at'
bad+='|possible (circular|recursive) locking|inconsistent lock state|suspicious RCU|Invalid wait context'
bad+='|lock held when returning|sleeping function called|scheduling while atomic|DEADLOCK'
bad+='|detected stalls|self-detected stall|blocked for more than|soft lockup|hard LOCKUP'
bad+='|(list_add|list_del) corruption|refcount_t:|unreferenced object|Unable to handle|Bad page'

found=$(grep -aE "$bad" "$log" | { [[ -z $allowed ]] && cat || grep -avE "$allowed"; }) || true
[[ -n $found ]] || exit 0

echo "the kernel complained (all of it in $log):"
# From the first complaint on, for as long as one usually is.
first=$(grep -anF "$(head -n1 <<<"$found")" "$log" | head -n1 | cut -d: -f1)
tr -d '\r' <"$log" | tail -n "+$((first > 3 ? first - 3 : 1))" | head -n 80
exit 1
