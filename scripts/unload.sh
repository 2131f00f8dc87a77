#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Unloads the module, as root; or says who is using it, and changes nothing.
set -euo pipefail

[[ -e /sys/module/twz ]] || { echo "unload.sh: it is not loaded" >&2 && exit 0; }
((EUID == 0)) || { echo "unload.sh: only root may unload a module" >&2 && exit 1; }
rmmod twz 2>/dev/null && exit

echo "unload.sh: in use by:" >&2
for process in /proc/[0-9]*; do
    # A mapping alone holds it too, after the descriptor is closed.
    if find "$process/fd" -lname '/dev/twz*' 2>/dev/null | grep -q . ||
        grep -qs ' /dev/twz' "$process/maps"; then
        echo "  ${process#/proc/} $(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)" >&2
    fi
done
exit 1
