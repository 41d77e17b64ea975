#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh [SUITE...]: boot guests, run the suites in them, print TAP.
#
#	KERNEL	6.1 (default), 6.12, debug, or a path
#	BUDGET	seconds after which no suite is begun any more; those are named
#	STRESS	not empty: no budget, and the suites run more rounds
#
# Suites called net-* need a guest for each node and get their own ones; all the
# others share one guest.  Those about ownership are in both, as move and net-move.
# If a guest dies or gets stuck, the suite that ran is a failure and the rest goes on
# in a new guest.  Exit status 0: nothing failed.

set -u

top=$(cd "$(dirname "$0")/.." && pwd)
KERNEL=${KERNEL:-6.1}
STRESS=${STRESS:-}
BUDGET=${BUDGET:-0}
[ -z "$STRESS" ] || BUDGET=0

ALL="ioctl request region object grant window map lib remote fault cache process
     gone revoke failnth
     borrow alloc room move misuse death silence
     rogue dsmctl config module litmus stress net-walk net-member net-kill
     net-move net-borrow net-litmus net-death net-stress net-silence net-misuse
     net-alloc net-grant net-object"

# Emulation under KASAN is slow.
limit_seconds=2400
kill_at=40
back_after=10
if [ "$KERNEL" = debug ]; then
	limit_seconds=9000
	kill_at=120
	back_after=20
fi
[ -z "$STRESS" ] || limit_seconds=$((limit_seconds * 20))

number=0
passed=0
failed=0
skipped=0
left_out=()
declare -A subtests_failed begun result

# One line of a guest, without its prefix: $1 the node, $2 the line, $3 " on node
# K" or nothing.
take_line()
{
	local node=$1 line=$2 where=$3 name

	case $line in
	"    ok "*"# SKIP"*)
		skipped=$((skipped + 1))
		;;
	"    ok "*)
		passed=$((passed + 1))
		;;
	"    not ok "*)
		failed=$((failed + 1))
		subtests_failed[$node]=1
		;;
	"# begin "*)
		begun["${line#\# begin }"]=1
		subtests_failed[$node]=
		;;
	"# left out "*)
		left_out+=("${line#\# left out }")
		result["${line#\# left out }"]="left out"
		return
		;;
	"ok "* | "not ok "*)
		name=${line#* - }
		number=$((number + 1))
		result["$name"]="done"
		result["$name$where"]="done"
		# Its tests passed, but not the suite: the kernel complained.
		if [[ $line = "not ok"* && -z ${subtests_failed[$node]-} ]]; then
			failed=$((failed + 1))
		fi
		echo "${line%% [0-9]*} $number - $name$where"
		return
		;;
	"TAP version"* | "1.."*)
		return
		;;
	esac
	echo "$line"
}

# A suite that gave no result.
suite_died()
{
	number=$((number + 1))
	failed=$((failed + 1))
	echo "not ok $number - $1 # $2"
}

# cluster ARGUMENT...: one run of dsm-cluster, its lines taken in
cluster()
{
	local line node where=

	[[ " $* " = *" --one-kernel "* ]] || where=yes
	while IFS= read -r line; do
		node=${line%%|*}
		if [[ $line = [0-9]*"| "* ]]; then
			take_line "$node" "${line#*| }" \
				"${where:+ on node $node}"
		else
			echo "# $line"
		fi
	done < <("$top/tools/dsm-cluster" -n 3 --bare --kernel "$KERNEL" \
			--time-limit "$limit_seconds" "$@" 2>&1)
	wait $!
}

seconds_left()
{
	if [ "$BUDGET" -eq 0 ]; then
		echo 0
	elif [ "$SECONDS" -lt "$BUDGET" ]; then
		echo $((BUDGET - SECONDS))
	else
		echo -1
	fi
}

# The command that runs suites in a guest.
in_guest()
{
	echo "STRESS='$STRESS' exec /dsm/selftests/guest.sh $*"
}

run_shared()
{
	local left name status
	local -a rest=("$@") todo

	while [ ${#rest[@]} -gt 0 ]; do
		left=$(seconds_left)
		if [ "$left" -lt 0 ]; then
			left_out+=("${rest[@]}")
			return
		fi
		begun=()
		cluster --one-kernel -- \
			sh -c "$(in_guest "$left" "${rest[@]}")"
		status=$?
		todo=()
		for name in "${rest[@]}"; do
			[ -z "${result[$name]-}" ] || continue
			if [ -n "${begun[$name]-}" ]; then
				suite_died "$name" "the guest ended in it ($status)"
			else
				todo+=("$name")
			fi
		done
		if [ ${#begun[@]} -eq 0 ]; then
			for name in "${todo[@]}"; do
				suite_died "$name" "no guest ran it ($status)"
			done
			return
		fi
		rest=("${todo[@]}")
	done
}

run_net()
{
	local name=$1 left node status nodes=3
	local -a arguments=()

	left=$(seconds_left)
	if [ "$left" -lt 0 ]; then
		left_out+=("$name")
		return
	fi
	case $name in
	net-kill)
		arguments=(--kill "3@$kill_at+$back_after") ;;
	net-litmus | net-silence)
		nodes=4
		arguments=(-n 4) ;;
	esac
	cluster "${arguments[@]}" -- sh -c "$(in_guest 0 "$name")"
	status=$?
	for node in $(seq $nodes); do
		[ -n "${result[$name on node $node]-}" ] ||
			suite_died "$name on node $node" \
				"the guest ended in it ($status)"
	done
}

shared=()
nets=()
# shellcheck disable=SC2086 # a list of names
[ $# -gt 0 ] || set -- $ALL
for name; do
	case $name in
	net-*)	nets+=("$name") ;;
	*)	shared+=("$name") ;;
	esac
done

echo "TAP version 13"
echo "# kernel $KERNEL"
[ ${#shared[@]} -eq 0 ] || run_shared "${shared[@]}"
for name in "${nets[@]}"; do
	run_net "$name"
done
echo "1..$number"
[ ${#left_out[@]} -eq 0 ] || echo "# left out for lack of time: ${left_out[*]}"
summary="$passed passed, $failed failed"
[ "$skipped" -eq 0 ] || summary="$summary, $skipped skipped"
echo "$summary"
[ "$failed" -eq 0 ]
