#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# dsm-cluster itself, seen from outside: what it runs, reports and leaves behind.
# Prints TAP.  The module is not needed.
set -u

here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

number=0
failed=0

# cluster ARGUMENT...: one run; sets status, leaves what it printed in $dir
cluster()
{
	"$here/dsm-cluster" --bare "$@" >"$dir/out" 2>"$dir/err"
	status=$?
}

# check NAME COMMAND...: it succeeds
check()
{
	local name=$1

	shift
	number=$((number + 1))
	if "$@"; then
		echo "ok $number - $name"
		return
	fi
	echo "not ok $number - $name"
	echo "# status $status"
	sed 's/^/# /' "$dir/out" "$dir/err"
	failed=$((failed + 1))
}

said() { grep -Eqx -- "$1" "$dir/out"; }
complained() { grep -Eq -- "$1" "$dir/err"; }
has_status() { [ "$status" -eq "$1" ]; }
all_gone() { ! ps -o stat= -p "$1" | grep -qv Z; }

mkdir "$dir/data"
echo "from the host" >"$dir/data/file"
# shellcheck disable=SC2016 # expanded in the guest
cluster -n 2 --dir "$dir/data" -- \
	sh -c 'echo "$DSM_NODE of $DSM_NODES"; cat /data/file; exit $((3 + DSM_NODE))'
check "every node runs the command" said '1\| 1 of 2'
check "each line has its node's prefix" said '2\| 2 of 2'
check "--dir appears as /data" said '1\| from the host'
check "the exit status is the worst" has_status 5

# shellcheck disable=SC2016
cluster -n 2 -- sh -c 'rdma link; if [ "$DSM_NODE" = 1 ]; then
	ping -c 3 -s 8000 10.77.0.2; fi; sleep 2'
check "there is a Soft-RoCE link" said '2\| link rxe0/1 state ACTIVE .*'
check "jumbo frames pass between guests" said '1\| 3 packets transmitted, [1-3] packets .*'

# shellcheck disable=SC2016
cluster -n 2 --kill 2@1+1 -- \
	sh -c '[ "$DSM_NODE" = 1 ] && exec sleep 8; [ -n "${DSM_BACK-}" ] || sleep 100; exit 7'
check "a killed guest comes back" complained 'guest 2 is back'
check "and its status then counts" has_status 7

# shellcheck disable=SC2016
cluster -n 2 --kill 2@1 -- sh -c '[ "$DSM_NODE" = 1 ] && exec sleep 3; sleep 100; exit 7'
check "a killed guest's status does not count" has_status 0

cluster --one-kernel -- sh -c 'echo 8 >/proc/sys/kernel/printk; echo c >/proc/sysrq-trigger'
check "a panic is reported with the console" complained 'console.*Kernel panic'
check "a panic has an exit status of its own" has_status 125

cluster --time-limit 3 --one-kernel -- sleep 100
check "the time limit ends everything" has_status 124

cluster -n 100 -- true
check "too many nodes are refused" has_status 2

"$here/dsm-cluster" --bare -n 2 -- sleep 100 >"$dir/out" 2>"$dir/err" &
sleep 4
children=$(pgrep -d , -P $!)
kill -KILL $!
wait $! 2>/dev/null
status=$?
sleep 1
check "a run that is killed had children" test -n "$children"
check "and none of them is left" all_gone "$children"

echo "1..$number"
echo "$((number - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
