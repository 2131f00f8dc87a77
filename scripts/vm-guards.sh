#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Shows that the attacks of tests/vm can succeed: loads a module made for this,
# with one guard after the other taken out, and has the attack on each succeed.
# Reports KTAP, as vm-test.sh reads it. Exits 77 when there is no machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tree=$(scripts/kernel.sh) || exit
module=$(TWZ_WEAKEN=1 scripts/kmod.sh "$tree") || exit
"${CARGO:-cargo}" build --quiet --release -p twz-vm-tests
attacker=$(realpath "${CARGO_TARGET_DIR:-target}")/release/twz-vm

# Their names are where they are defined.
mapfile -t guards < <(sed -nE 's/^    [A-Za-z]+ = "([a-z_]+)",$/\1/p' kmod/guard.rs)
((${#guards[@]} > 0)) || { echo "vm-guards.sh: kmod/guard.rs names no guard" >&2 && exit 1; }

script=$(mktemp)
trap 'rm -f "$script"' EXIT
cat >"$script" <<SCRIPT
twz pool init --image /dev/pmem0 --force >/dev/null || exit 1
for guard in ${guards[*]}; do
    insmod /lib/modules/weak.ko weaken=\$guard || exit 1
    twz-vm attacks escapes withdraw --expect-broken=\$guard
    rmmod twz || exit 1
done
# The race of a right that is taken against stores, without the lock around looking and
# mapping: some come too late, as none does with it.
insmod /lib/modules/weak.ko weaken=check_lock || exit 1
twz-vm revoke --count=20000 --expect-broken=check_lock
rmmod twz || exit 1
SCRIPT
# What a weakened module does to the kernel is its own affair: some guards are
# there because the kernel would complain.
scripts/vm-test.sh --timeout 600 --no-module --allow '.*' --add "$module=/lib/modules/weak.ko" \
    --add "$attacker=/bin/twz-vm" --add "$script=/bin/guards.sh" -- sh /bin/guards.sh
