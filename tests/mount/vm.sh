#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The tests of this folder on the kernel module's pool, in the virtual machine, one at a
# time since they share that pool. Debian's kernel has FUSE built in. Programs that this
# machine has come along; tests of others name themselves in the file TWZ_SKIPS.
# Exits 77 when there is no machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo=("${CARGO:-cargo}" test --release --no-run --message-format=json-render-diagnostics -p twz-tests)
"${cargo[@]}" --test mount 2>"$work/errors" >"$work/built" || {
    cat "$work/errors" && exit 1
}
program=$(sed -nE 's/.*"name":"mount".*"executable":"([^"]+)".*/\1/p' "$work/built" | tail -n 1)
[[ -x $program ]] || { echo "vm.sh: FAILED: the tests were not built" && exit 1; }
strip -o "$work/mount-tests" "$program"

add=(--add "$work/mount-tests")
for name in git sqlite3 rsync setfacl getfacl setpriv; do
    if found=$(command -v "$name"); then add+=(--add "$(realpath "$found")=/usr/bin/$name"); fi
done
# Python finds its library in an archive, but for what is not in Python.
if python=$(command -v python3); then
    python=$("$python" - "$work/python.zip" <<'PACK'
import pathlib, sys, sysconfig, zipfile
library = pathlib.Path(sysconfig.get_path("stdlib"))
left = ["test", "tests", "site-packages", "dist-packages", "idlelib", "lib2to3", "ensurepip"]
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for file in sorted(library.rglob("*.py")):
        inside = file.relative_to(library)
        if not set(left) & set(inside.parts):
            archive.write(file, inside)
print(pathlib.Path(sys.executable).resolve(), *library.glob("lib-dynload/*.so"))
PACK
    )
    add+=(--add "$work/python.zip")
    for file in $python; do
        [[ $file == *.so ]] && to=/lib/python/${file##*/} || to=/usr/bin/python3
        add+=(--add "$file=$to")
    done
fi
# A clone asks for it by this name.
if found=$(command -v git); then add+=(--add "$(realpath "$found")=/usr/bin/git-upload-pack"); fi

cat >"$work/suite" <<'SCRIPT'
export TWZ_BACKEND=kernel TWZ_SKIPS=/tmp/skips TWZ_COMMAND_PATH=/bin/twz TMPDIR=/tmp GIT_EXEC_PATH=/usr/bin
export PYTHONHOME=/usr PYTHONPATH=/bin/python.zip:/lib/python PYTHONDONTWRITEBYTECODE=1
: >$TWZ_SKIPS
status=0
mount-tests --test-threads=1 "$@" || status=1
sed 's/^/SKIPPED HERE /' $TWZ_SKIPS
exit $status
SCRIPT
status=0
scripts/vm.sh run --timeout 900 --memory 2048 "${add[@]}" --add "$work/suite=/bin/suite" \
    -- sh /bin/suite "$@" | tee "$work/out" || status=${PIPESTATUS[0]}
# Whoever counts takes them off those that passed.
[[ -z ${TWZ_SKIPS:-} ]] || sed -n 's/^SKIPPED HERE /on the kernel: /p' "$work/out" >>"$TWZ_SKIPS"
exit "$status"
