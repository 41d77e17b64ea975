#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# guest.sh SECONDS SUITE...: run suites in this guest, for run.sh on the host.
#
# Prints the suites' TAP with an indent and one line of TAP for each suite.  A
# suite fails if one of its tests does, if it outlives its limit, if the kernel
# complains meanwhile, or if the module cannot be unloaded afterwards.  After
# SECONDS (0: never) no suite is begun.  A suite whose name begins with "net-" has
# a guest for each node: a script of that name, or net-own.sh.

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

COMPLAINTS='WARNING|BUG:|KASAN|UBSAN|Oops|general protection|kernel BUG'
COMPLAINTS="$COMPLAINTS|possible circular|possible recursive"
COMPLAINTS="$COMPLAINTS|inconsistent lock state|suspicious RCU|held lock freed"
COMPLAINTS="$COMPLAINTS|blocked for more than|detected stall|soft lockup|leak"

SUITE_SECONDS=300
is_debug_kernel && SUITE_SECONDS=1200
# The litmus tests take the most.
[ -z "$STRESS" ] || SUITE_SECONDS=$((SUITE_SECONDS * 120))

# Line by line, while the suite runs; busybox's sed keeps blocks.
indent()
{
	while IFS= read -r line; do
		printf '    %s\n' "$line"
	done
}

prepare()
{
	case $1 in
	*.sh)	return 0 ;;
	esac
	# A suite of C finds three nodes up.
	if ! module_load || ! cluster_up 1 2 3; then
		echo "the cluster does not come up"
		return 1
	fi
}

clean_up()
{
	if ! cluster_down || ! module_unload; then
		echo "the module cannot be unloaded"
		return 1
	fi
}

# run_suite NUMBER NAME FILE
run_suite()
{
	problem=
	echo "# begin $2"
	dmesg -c >/dev/null
	# Suites make others.
	write_conf

	if ! why=$(prepare "$3" 2>&1); then
		problem=$why
	else
		{
			SUITE=$2 timeout -s KILL "$SUITE_SECONDS" "$HERE/$3" 2>&1
			echo $? >/tmp/suite.status
		} | indent
		read -r status </tmp/suite.status
		case $status in
		0 | 4)	;;
		137)	problem="killed after $SUITE_SECONDS s" ;;
		*)	problem="exit status $status" ;;
		esac
	fi
	why=$(clean_up 2>&1) || problem="${problem:+$problem; }$why"

	dmesg >/tmp/suite.dmesg
	if grep -Eq "$COMPLAINTS" /tmp/suite.dmesg; then
		problem="${problem:+$problem; }the kernel complains"
		sed 's/^/# /' /tmp/suite.dmesg
	fi

	if [ -n "$problem" ]; then
		echo "$problem" | sed 's/^/# /'
		echo "not ok $1 - $2"
		return 1
	fi
	echo "ok $1 - $2"
}

seconds=$1
shift
started=$(date +%s)
worst=0
number=0
echo "TAP version 13"
for name; do
	if [ "$seconds" -gt 0 ] &&
	   [ $(($(date +%s) - started)) -ge "$seconds" ]; then
		echo "# left out $name"
		continue
	fi
	number=$((number + 1))
	file=$name
	if [ -e "$HERE/$name.sh" ]; then
		file=$name.sh
	elif [ "${name#net-}" != "$name" ]; then
		file=net-own.sh
	fi
	run_suite $number "$name" "$file" || worst=1
	# Nothing can be learned in a guest whose module is stuck.
	if [ -d /sys/module/dsm ]; then
		echo "# guest is unusable"
		exit 1
	fi
done
echo "1..$number"
exit $worst
