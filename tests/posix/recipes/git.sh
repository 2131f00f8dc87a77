# SPDX-License-Identifier: MIT OR Apache-2.0
# git's own tests, for the git that is installed: of git itself only what helps them is built.
set -euo pipefail

source_of git
cd git
make -s CFLAGS=-O1 NO_CURL=1 NO_EXPAT=1 NO_OPENSSL=1 NO_TCLTK=1 NO_PYTHON=1 \
    GIT-BUILD-OPTIONS t/helper/test-tool t/helper/test-fake-ssh
make -s -C templates
rm -rf t/perf t/interop t/helper/*.o
mkdir "$out/templates" "$out/contrib"
cp -r t GIT-BUILD-OPTIONS "$out"
cp -r templates/blt "$out/templates"
cp -r contrib/workdir "$out/contrib"
