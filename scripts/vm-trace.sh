#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The kernel's own stores: boots a machine whose emulator writes down every store to
# its persistent memory, every flush and every fence (tests/trace), does every
# operation of the module in it (tests/vm, "trace"), and plays power cuts on what was
# written down, with the real recovery (tests/crash, "foreign"):
#   vm-trace.sh [ARGUMENT of twz-crash]...     --states 10000000, --model lines
# Some is done once more with modules that lack what makes stores durable, and has to
# be caught. Exits 77 when there is no machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tree=$(scripts/kernel.sh) || exit
module=$(scripts/kmod.sh "$tree") || exit
weak=$(TWZ_WEAKEN=1 scripts/kmod.sh "$tree") || exit
"${CARGO:-cargo}" build --quiet --release -p twz-vm-tests -p twz-crash
built=$(realpath "${CARGO_TARGET_DIR:-target}")/release

# What a module can lack is where it does.
mapfile -t lacks < <(sed -nE 's/.*lacks\(b"([a-z]+)"\).*/\1/p' kmod/sys/pmem.rs | sort -u)
((${#lacks[@]} > 0)) || { echo "vm-trace.sh: kmod/sys/pmem.rs can lack nothing" >&2 && exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/trace.sh" <<SCRIPT
twz-vm trace || exit 1
for what in ${lacks[*]}; do
    twz-vm trace --only=hole --module=/lib/modules/weak.ko --expect-broken=\$what || exit 1
done
SCRIPT
status=0
scripts/vm.sh run --timeout 900 --nvdimm-size 32 --nvdimm "$work/nv.img" --trace "$work/log" \
    --no-module --add "$module=/lib/modules/twz.ko" --add "$weak=/lib/modules/weak.ko" \
    --add "$built/twz-vm" --add "$work/trace.sh=/bin/trace.sh" -- sh /bin/trace.sh \
    >"$work/said" || status=$?
if ((status != 0)); then
    cat "$work/said"
    exit "$status"
fi
"$built/twz-crash" --foreign "$work/log" --medium "$work/nv.img" "$@"
