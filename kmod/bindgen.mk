# SPDX-License-Identifier: GPL-2.0
# Bindings of our own, for what the `kernel` crate of this kernel does not have:
# bindings.h says what is included, bindings.list says which of it is wanted.

# What gcc is told and clang does not know: as in rust/Makefile of the kernel.
bindgen-skip := -mno-fp-ret-in-387 -mpreferred-stack-boundary=% -mskip-rax-setup \
	-mindirect-branch=thunk-extern -mindirect-branch-register -mindirect-branch-cs-prefix \
	-mfunction-return=thunk-extern -mrecord-mcount -mstack-protector-guard% \
	-fconserve-stack -falign-jumps=% -falign-loops=% -femit-struct-debug-baseonly \
	-fno-ipa-cp-clone -fno-ipa-sra -fno-partial-inlining -fno-reorder-blocks \
	-fno-allow-store-data-races -fasan-shadow-offset=% -fzero-call-used-regs=% \
	-fno-stack-clash-protection -fno-inline-functions-called-once \
	-fsanitize=bounds-strict -fstrict-flex-arrays=% -fmin-function-alignment=% \
	-fzero-init-padding-bits=% -fdiagnostics-show-context -fdiagnostics-show-context=% \
	--param=% --param asan-% -fno-isolate-erroneous-paths-dereference

# The list has lines `function NAME`, `type NAME`, `var NAME`; or `borrow NAME` for
# a type that the kernel crate has, and that is to be the same one here.
bindgen-list = $(shell sed -nE \
	-e 's/^(function|type|var) +([^ ]+).*/--allowlist-\1 \2/p' \
	-e 's/^borrow +([^ ]+).*/--blocklist-type \1/p' $(src)/bindings.list)

# kernel::ffi, because there c_ulong is usize and c_char is u8.
quiet_cmd_twz_bindgen = BINDGEN $@
      cmd_twz_bindgen = $(BINDGEN) $< $(bindgen-list) \
	--rust-target 1.85 --use-core --ctypes-prefix kernel::ffi --with-derive-default \
	--no-recursive-allowlist --no-layout-tests --formatter=none --no-debug '.*' \
	--enable-function-attribute-detection --raw-line 'use kernel::bindings::*;' -o $@ -- \
	$(filter-out $(bindgen-skip),$(c_flags)) -w --target=x86_64-linux-gnu \
	-fno-builtin -D__BINDGEN__ -DMODULE

$(obj)/sys/bindings_generated.rs: $(src)/bindings.h $(src)/bindings.list FORCE
	$(call if_changed_dep,twz_bindgen)
targets += sys/bindings_generated.rs
