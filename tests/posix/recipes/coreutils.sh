# SPDX-License-Identifier: MIT OR Apache-2.0
# coreutils' own tests, for the programs that are installed. Where the tests look for those
# that were built are links to these; of coreutils itself only what helps the tests is built,
# and the programs that Debian has from elsewhere.
set -euo pipefail

source_of coreutils
cd coreutils
export FORCE_UNSAFE_CONFIGURE=1
./configure --quiet --disable-nls --without-selinux CFLAGS=-O1
own='src/getlimits src/kill src/uptime src/hostname'
printf 'include Makefile\nhelpers: $(BUILT_SOURCES)\n\t$(MAKE) %s\nprograms:\n\t@echo $(built_programs)\n' "$own" >helpers.mk
make -s -f helpers.mk helpers
programs=$(make -s -f helpers.mk programs)

mkdir -p "$out/src" "$out/lib"
cp -r tests init.cfg "$out"
cp lib/config.h "$out/lib"
# Where a debugger would stop, if there is one: a test looks for the line in these.
cp src/remove.c src/tail.c "$out/src"
for program in $programs; do
    installed=/usr/bin/${program/#ginstall/install}
    [[ -x $installed ]] || installed=/usr/sbin/$program
    [[ ! -x $installed ]] || ln -s "$installed" "$out/src/$program"
done
for program in $own; do
    rm -f "$out/$program"
    cp "$program" "$out/src"
done

# Those that every user can run, and that end: the others skip themselves only later.
sed -n '/^all_tests *=/,/^$/p' tests/local.mk | grep -oE 'tests/[^[:space:]]+\.(sh|pl|xpl)' |
    xargs grep -LE '^(very_)?expensive_|^require_root_' | sort >"$out/scripts"

# What `make check` would have said to each.
version=$(cat .tarball-version)
cat >"$out/run" <<END
#!/bin/sh
# run SCRIPT: runs one in the current directory.
top=\$(dirname "\$(realpath "\$0")") tst=\$1
. "\$top/tests/lang-default"
TMPDIR=\$PWD CANDIDATE_TMP_DIRS='/tmp /var/tmp /dev/shm' KEEP=yes
export TMPDIR CANDIDATE_TMP_DIRS KEEP
export VERSION='$version' PACKAGE_VERSION='$version' LOCALE_FR=none LOCALE_FR_UTF8=none
export abs_top_builddir="\$top" abs_top_srcdir="\$top" abs_srcdir="\$top" srcdir="\$top" top_srcdir="\$top"
export built_programs='$programs' CONFIG_HEADER="\$top/lib/config.h" fail=0
export host_os=linux-gnu host_triplet=x86_64-pc-linux-gnu CC=gcc AWK=gawk EGREP='grep -E' EXEEXT= MAKE=make PERL=perl SHELL=/bin/sh
export CU_TEST_NAME="coreutils,\$(echo "\$tst" | sed 's,/,-,g')" PATH="\$top/src:\$PATH"
case \$tst in
    *.sh) exec /bin/sh "\$top/\$tst" 9>&2 ;;
    *.xpl) taint=-T ;;
    *) taint= ;;
esac
exec perl \$taint -w "-I\$top/tests" -MCuSkip -MCoreutils "-MCuTmpdir qw(\$(basename "\$tst"))" "\$top/\$tst" 9>&2
END
chmod 755 "$out/run"
