#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh [PROGRAM...]: is each program here accepted or rejected as it should be?
# Prints TAP.  Nothing is linked or run.
#
#	accepted	by all compilers, in C and in C++, without a warning
#	rejected	by clang -Wthread-safety alone, with what the comment in
#			the program says: "rejected: TEXT"
#	rejected-by-all	likewise, and by gcc without it
#	missed		wrong, but accepted: what the check cannot see
#	overstrict	right, but rejected: what the check cannot follow
#
# The last two are what clang 14 does; other versions may do better.

set -u

here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

flags="-S -o /dev/null -Wall -Wextra -Wpedantic -Werror
       -I$here -I$top/lib -I$top/uapi"
clang="${CLANG:-clang} -std=c11 $flags"
clangxx="${CLANG:-clang} -x c++ $flags"
gcc="${GCC:-gcc} -std=c11 $flags"
gxx="${GCC:-gcc} -x c++ $flags"
check=-Wthread-safety

# accepts COMPILER...: without a word
accepts()
{
	echo "# $*" >"$out/log"
	"$@" >>"$out/log" 2>&1 && [ "$(wc -l <"$out/log")" -eq 1 ]
}

# rejects FILE COMPILER...: with all that FILE says
rejects()
{
	file=$1
	shift
	echo "# $*" >"$out/log"
	! "$@" >>"$out/log" 2>&1 || return 1
	sed -n 's/^ \* rejected: //p' "$file" >"$out/expected"
	[ -s "$out/expected" ] || return 1
	while IFS= read -r text; do
		grep 'error: ' "$out/log" | grep -qF -- "$text" && continue
		echo "missing: $text" >>"$out/log"
		return 1
	done <"$out/expected"
}

# shellcheck disable=SC2086 # the compilers are words
verify()
{
	case $1 in
	*/accepted/*)
		accepts $clang $check "$1" && accepts $clangxx $check "$1" &&
			accepts $gcc "$1" && accepts $gxx "$1"
		;;
	*/rejected/*)
		rejects "$1" $clang $check "$1" &&
			rejects "$1" $clangxx $check "$1" &&
			accepts $clang "$1" && accepts $gcc "$1" &&
			accepts $gxx "$1"
		;;
	*/rejected-by-all/*)
		rejects "$1" $clang $check "$1" && ! accepts $gcc "$1" &&
			! accepts $gxx "$1"
		;;
	*/missed/*)
		accepts $clang $check "$1" && accepts $gcc "$1"
		;;
	*/overstrict/*)
		rejects "$1" $clang $check "$1" && accepts $clang "$1" &&
			accepts $gcc "$1"
		;;
	*)
		return 1
		;;
	esac
}

version=$(echo __clang_major__ | "${CLANG:-clang}" -E -P -x c -) || exit 1

[ $# -gt 0 ] || set -- "$here"/*/*.c
echo TAP version 13
echo "1..$#"

number=0
passed=0
failed=0
for program; do
	program=$(realpath "$program")
	name=${program#"$here"/}
	number=$((number + 1))
	case $version:$name in
	14:* | *:accepted/* | *:rejected*) ;;
	*)
		echo "ok $number - $name # SKIP not clang 14"
		continue
		;;
	esac
	if verify "$program"; then
		passed=$((passed + 1))
		echo "ok $number - $name"
	else
		failed=$((failed + 1))
		echo "not ok $number - $name"
		sed 's/^#* */# /' "$out/log"
	fi
done

echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
