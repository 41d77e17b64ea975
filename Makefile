# SPDX-License-Identifier: GPL-2.0-only
#
# The whole of dsm; "make help" lists the targets.

KERNEL   ?= 6.1
prefix   ?= /usr/local
bindir   ?= $(prefix)/bin
mandir   ?= $(prefix)/share/man
partsdir ?= $(prefix)/lib/dsm

BUILD    := $(CURDIR)/build
OUT      := $(BUILD)/user
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += --jobs=$(shell nproc)
endif

# What Debian 12 needs for all of it, guests included.  No kernel is among it:
# tools/dsm-kernel unpacks those into the user's cache.
PACKAGES := gcc g++ make libc6-dev bc bison flex libelf-dev libssl-dev perl python3 \
	    kmod patch xz-utils zstd cpio rsync pkg-config linux-source-6.1 pahole \
	    qemu-system-x86 libibverbs-dev librdmacm-dev busybox-static iproute2 util-linux file \
	    clang clang-format clang-tidy sparse shellcheck mandoc spin

CLUSTER_OPTIONS := --kernel $(KERNEL) $(if $(N),-n $(N)) \
		   $(if $(ONE_KERNEL),--one-kernel)

C_FILES   := $(wildcard lib/*.c tools/*.c selftests/*.c)
H_FILES   := $(wildcard lib/*.h tools/*.h selftests/*.h)
BORROWCK  := $(wildcard selftests/borrowck/*.h selftests/borrowck/*/*.c)
KMOD      := $(wildcard kmod/*.c kmod/*.h)
UAPI      := $(wildcard uapi/linux/*.h)
SCRIPTS   := tools/dsm-kernel .ci/run kmod/protocol/check.sh \
	     $(wildcard tools/*.sh selftests/*.sh selftests/*/*.sh)
MAN4      := $(wildcard kmod/*.4)
MAN_PAGES := $(MAN4) $(wildcard lib/man/*.3 tools/*.[18])

# Shell for recipes: sets kdir and release, for KDIR if it is given.
FIND_KERNEL = set -e; \
	kdir='$(KDIR)'; \
	[ -n "$$kdir" ] || \
		kdir=$$(tools/dsm-kernel $(KERNEL) | sed -n 's/^kdir=//p'); \
	[ -n "$$kdir" ] || exit 1; \
	[ -e "$$kdir/include/generated/utsrelease.h" ] || \
		{ echo "$$kdir: no kernel headers; install linux-headers-..." >&2; exit 1; }; \
	release=$$(sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' \
		"$$kdir/include/generated/utsrelease.h")

all: module user

# One checkout serves several kernels: each builds from a copy of its own.
module:
	@$(FIND_KERNEL); \
	mkdir -p $(BUILD)/$$release; \
	cp -pru Kbuild kmod uapi $(BUILD)/$$release; \
	$(MAKE) -C $$kdir M=$(BUILD)/$$release modules

user: lib tools selftests

lib:
	$(MAKE) -C lib O=$(OUT)

tools: lib
	$(MAKE) -C tools O=$(OUT)

selftests: lib
	$(MAKE) -C selftests O=$(OUT)

install: all
	$(MAKE) -C lib install O=$(OUT) prefix=$(prefix) DESTDIR=$(DESTDIR)
	$(MAKE) -C tools install O=$(OUT) prefix=$(prefix) DESTDIR=$(DESTDIR)
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(partsdir) \
		$(DESTDIR)$(mandir)/man1 $(DESTDIR)$(mandir)/man4
	install -m 755 tools/dsm-cluster tools/dsm-kernel tools/guest-init \
		$(DESTDIR)$(partsdir)
	install -m 644 tools/debug.config tools/debug.patch $(wildcard tools/cluster_*.py) \
		$(DESTDIR)$(partsdir)
	ln -sf $(partsdir)/dsm-cluster $(DESTDIR)$(bindir)/dsm-cluster
	install -m 644 tools/dsm-cluster.1 $(DESTDIR)$(mandir)/man1
	$(if $(MAN4),install -m 644 $(MAN4) $(DESTDIR)$(mandir)/man4)
	@$(FIND_KERNEL); \
	extra=$(DESTDIR)/lib/modules/$$release/extra; \
	install -d $$extra; \
	install -m 644 $(BUILD)/$$release/dsm.ko $$extra; \
	[ -n "$(DESTDIR)" ] || depmod $$release

uninstall:
	$(MAKE) -C lib uninstall O=$(OUT) prefix=$(prefix) DESTDIR=$(DESTDIR)
	$(MAKE) -C tools uninstall O=$(OUT) prefix=$(prefix) DESTDIR=$(DESTDIR)
	rm -rf $(DESTDIR)$(partsdir)
	rm -f $(DESTDIR)$(bindir)/dsm-cluster $(DESTDIR)$(mandir)/man1/dsm-cluster.1 \
		$(addprefix $(DESTDIR)$(mandir)/man4/,$(notdir $(MAN4)))
	@$(FIND_KERNEL); \
	rm -f $(DESTDIR)/lib/modules/$$release/extra/dsm.ko; \
	[ -n "$(DESTDIR)" ] || depmod $$release

# The package lists are the demo's input, too.
deps:
	@installed=$$(dpkg-query -W -f '$${Package}:$${db:Status-Status} ' \
		$(PACKAGES) 2>/dev/null); \
	for package in $(PACKAGES); do \
		case " $$installed" in \
		*" $$package:installed "*) ;; \
		*) missing="$$missing $$package" ;; \
		esac; \
	done; \
	ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 && \
		[ -z "$$missing" ] && exit; \
	echo "deps: installing$$missing"; \
	[ "$$(id -u)" -eq 0 ] || sudo=sudo; \
	$$sudo apt-get update -q && \
	$$sudo env DEBIAN_FRONTEND=noninteractive \
		apt-get install -yq --no-install-recommends $$missing

demo: deps
	@$(MAKE) --no-print-directory all
	tools/demo.sh $(CLUSTER_OPTIONS)

bench: deps
	@$(MAKE) --no-print-directory all
	tools/bench.sh --kernel $(KERNEL)

test: deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory check
	$(if $(filter 6.1,$(KERNEL)),tools/cluster-test.sh)
	KERNEL=$(KERNEL) $(if $(BUDGET),BUDGET=$(BUDGET)) selftests/run.sh

stress: deps
	@$(MAKE) --no-print-directory all
	kmod/protocol/check.sh --long
	KERNEL=$(KERNEL) STRESS=1 selftests/run.sh

check: deps
	@$(MAKE) --no-print-directory check-kmod check-user check-borrow check-scripts \
		check-man check-protocol

# With --no-tree checkpatch does not know uapi/ for what it is; TRACE_EVENT has a
# layout of its own; compat.h is about versions.
CHECKPATCH = $$source/scripts/checkpatch.pl --no-tree --strict --quiet --terse \
	     --show-types --no-summary

# sparse has much to say on the kernel's own headers; only ours count.
check-kmod:
	@echo "check: checkpatch, sparse and W=1 on kmod/ and uapi/"
	@source=$$(tools/dsm-kernel source) && \
	$(CHECKPATCH) -f $(filter-out kmod/trace.h kmod/compat.h,$(KMOD)) && \
	$(CHECKPATCH) --ignore LINUX_VERSION_CODE,CONSTANT_COMPARISON -f kmod/compat.h && \
	$(CHECKPATCH) --ignore OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT -f kmod/trace.h && \
	$(CHECKPATCH) --ignore BIT_MACRO,COMPLEX_MACRO,MACRO_ARG_REUSE -f $(UAPI)
	@$(FIND_KERNEL); \
	dir=$(BUILD)/check-$$release; \
	mkdir -p $$dir; \
	cp -pru Kbuild kmod uapi $$dir; \
	$(MAKE) -s -C $$kdir M=$$dir C=2 W=1 modules >$$dir/log 2>&1 || \
		{ cat $$dir/log; exit 1; }; \
	! grep -E '(kmod|uapi)/[^ ]*:[0-9]+:.*(warning|error):' $$dir/log

CHECK_FLAGS := -std=gnu11 -D_GNU_SOURCE -Iuapi -Ilib -Itools -Iselftests \
	       -isystem $(OUT)/kselftest

# Slow, so once for each change.
check-user: $(BUILD)/check-user

$(BUILD)/check-user: $(C_FILES) $(H_FILES) .clang-format .clang-tidy | user
	@echo "check: clang-format and clang-tidy on lib/, tools/ and selftests/"
	@clang-format --dry-run --Werror $(C_FILES) $(H_FILES)
	@printf '%s\n' $(filter-out selftests/%,$(C_FILES)) | xargs -P $$(nproc) -I {} \
		clang-tidy --quiet {} -- $(CHECK_FLAGS) 2>/dev/null
	@printf '%s\n' $(filter selftests/%,$(C_FILES)) | xargs -P $$(nproc) -I {} \
		clang-tidy --quiet --checks=-bugprone-suspicious-semicolon {} -- \
		$(CHECK_FLAGS) 2>/dev/null
	@touch $@

check-borrow:
	@echo "check: programs that clang -Wthread-safety must accept or reject"
	@clang-format --dry-run --Werror $(BORROWCK)
	@selftests/borrowck/run.sh
	@clang -std=c11 -fsyntax-only -Wall -Wextra -Wthread-safety -Werror -Ilib -Iuapi \
		tools/example.c

check-scripts:
	@echo "check: shellcheck, Python's compiler"
	@shellcheck -x -P selftests $(SCRIPTS)
	@shellcheck -s dash tools/guest-init
	@for file in tools/dsm-cluster tools/cluster_*.py; do \
		python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' \
			$$file || exit 1; \
	done

# Slow, so once for each change.
check-protocol: $(BUILD)/check-protocol

$(BUILD)/check-protocol: $(wildcard kmod/protocol/*.pml kmod/protocol/check.sh)
	@echo "check: spin on kmod/protocol/"
	@kmod/protocol/check.sh
	@mkdir -p $(BUILD)
	@touch $@

check-man:
	@echo "check: mandoc -T lint"
	@mandoc -T lint -W warning $(MAN_PAGES)
	@sed -n '/^```c$$/,/^```$$/{/^```/d;p}' README.md | \
		diff - tools/example.c | { ! grep -v '^0a1$$\|SPDX'; }

clean:
	rm -rf $(BUILD)

help:
	@echo 'make            the module, the library, the tools and the selftests'
	@echo 'make demo       build, boot three guests, walk a shared graph  (N=, ONE_KERNEL=1)'
	@echo 'make test       build, static checks, test suites              (BUDGET=seconds)'
	@echo 'make stress     all test suites, without a time budget'
	@echo 'make bench      page faults and borrows against raw RDMA READs'
	@echo 'make check      the static checks alone'
	@echo 'make install    and uninstall                                  (DESTDIR=, prefix=)'
	@echo 'make deps       install the Debian packages that are missing'
	@echo 'make clean      remove build/'
	@echo
	@echo 'KERNEL=6.1 (default), 6.12 or debug chooses the kernel to build for and to boot;'
	@echo 'KDIR=DIR builds the module against other headers, for example'
	@echo "KDIR=/lib/modules/$$(uname -r)/build for the running kernel."

.PHONY: all module user lib tools selftests install uninstall deps demo bench test \
	stress check check-kmod check-user check-borrow check-scripts check-man \
	check-protocol clean help
