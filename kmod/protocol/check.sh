#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Have spin search the models of the ownership protocol (protocol.md): each search
# has to complete without an error, and each broken variant has to be found.
#
#	check.sh [--long] [PATTERN]
#
# --long adds the larger bounds: some minutes more.  PATTERN: only
# the runs whose name matches.  TAP; the last line counts.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
long=
memory_mb=4000
# The processor's time: machines are shared.
TIMEFORMAT=%U
if [ "${1:-}" = --long ]; then
	long=1
	memory_mb=12000
	shift
fi
pattern=${1:-}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

number=0
failed=0

# $1: 1 if it is well, $2: name, $3: what was seen
report() {
	number=$((number + 1))
	if [ "$1" -eq 1 ]; then
		echo "ok $number - $2: $3"
	else
		failed=$((failed + 1))
		echo "not ok $number - $2: $3"
	fi
}

# Leaves the verifier's output in ./out.  $1: model, the rest: its switches
search() {
	local model=$1

	shift
	rm -f pan* out
	: >cpu
	spin -a "$@" "$here/$model.pml" >out 2>&1 &&
		gcc -O2 -w -DSAFETY -DMEMLIM=$memory_mb -DVECTORSZ=512 -o pan pan.c >>out 2>&1 &&
		{ time ./pan -m1000000 >out 2>&1; } 2>cpu
}

states() { awk '/states, stored/ { printf "%d", $1; exit }' out; }

wanted() { [ -z "$pattern" ] || [[ $1 =~ $pattern ]]; }

# $1: model, the rest: its bounds; every state is searched, none is wrong
holds() {
	local name="$*" good=0

	wanted "$name" || return
	search "$@"
	grep -q 'errors: 0$' out && ! grep -Eq 'not completed|depth too small' out && good=1
	report $good "$name" "$(states) states, $(cat cpu) s$(
		[ $good -eq 1 ] || { echo; grep -v '^Depth=' out | sed 's/^/# /'; })"
}

# $1: model, the rest: its switches; an assertion fails
breaks() {
	local name="$*" good=0

	wanted "$name" || return
	search "$@"
	grep -q 'assertion violated' out && good=1
	report $good "$name" "$(
		if [ $good -eq 1 ]; then
			echo "broken, as it should be, seen after $(states) states"
		else
			echo 'nothing found'
			sed 's/^/# /' out
		fi)"
}

# One line: who owns, what is read, nothing is lost.
holds ledger -DPROG=0 -DNHOME=2 -DNREM=2 -DOPS=2
holds ledger -DPROG=1 -DNREM=2 -DMAXV=3
holds ledger -DPROG=1 -DNHOME=2
holds ledger -DPROG=2
holds ledger -DPROG=3 -DNREM=2 -DMAXV=3
# The page is carved anew, objects have two lines.
holds ledger -DLINES=2 -DPROG=0 -DOPS=2
holds ledger -DLINES=2 -DPROG=1
holds ledger -DLINES=2 -DPROG=1 -DNHOME=2 -DNREM=0
# Lost links, death, fence and sweep.
holds crash
holds crash -DFORGE=1 -DATTEMPTS=1
# A chunk is given back.
holds chunk
# Copies.
holds copy -DPROG=0
holds copy -DPROG=2

breaks ledger -DEARLY_VERSION
breaks ledger -DJOIN
breaks ledger -DKEEP_VERSION
breaks ledger -DEARLY_FREE
breaks ledger -DONE_WORD
breaks ledger -DWORD_FIRST
breaks ledger -DLOAD_FIRST
breaks ledger -DPROG=0 -DPLAIN_STORES
breaks ledger -DPROG=3 -DWORD_AFTER
breaks ledger -DPROG=3 -DDROP_BLIND
breaks ledger -DPROG=3 -DSTEAL_BLIND -DNREM=2 -DMAXV=3
breaks ledger -DLINES=2 -DFORGET_VERSION
breaks ledger -DLINES=2 -DNHOME=2 -DNREM=0 -DBLIND_CONT
breaks ledger -DLINES=2 -DNHOME=2 -DNREM=0 -DHEAD_FIRST
breaks crash -DFORGET_REISSUE -DATTEMPTS=1
breaks crash -DRELINK_OPEN -DATTEMPTS=1
breaks crash -DSWEEP_LIVE -DATTEMPTS=1
breaks crash -DSWEEP_UNDRAINED -DATTEMPTS=1
breaks crash -DSWEEP_BLIND -DFORGE=1 -DATTEMPTS=1
breaks chunk -DNO_USERS
breaks chunk -DKEEP_COPIES
breaks chunk -DLIST_LATE
breaks chunk -DGIVE_ANYWAY
breaks copy -DEARLY_BITS
breaks copy -DKEEP_WORDS
breaks copy -DNO_ZERO
breaks copy -DEVICT_UNLOCKED
breaks copy -DREFILL_PART
breaks copy -DPROG=3 -DWORD_AFTER

if [ -n "$long" ]; then
	holds ledger -DLINES=2 -DPROG=0 -DNREM=2 -DMAXV=3
	holds ledger -DLINES=2 -DPROG=0 -DNHOME=2 -DMAXV=3
	holds ledger -DLINES=2 -DPROG=1 -DABOVE_ALL
	holds ledger -DLINES=2 -DPROG=2 -DMAXV=3
	holds ledger -DLINES=2 -DPROG=3 -DMAXV=3
	holds ledger -DLINES=2 -DNHOME=3 -DNREM=0 -DMAXV=3
	holds crash -DFORGE=1
	holds copy -DPROG=3
fi

echo "1..$number"
echo "$((number - failed)) passed, $failed failed"
[ $failed -eq 0 ] && [ $number -gt 0 ]
