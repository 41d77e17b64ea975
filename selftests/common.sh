# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
#
# For the suites that are shell scripts, and for guest.sh: TAP, and the cluster
# of this guest.  Everything runs in a guest of "dsm-cluster --bare", as root,
# with busybox.

HERE=${HERE:-/dsm/selftests}
CONFIGFS=/sys/kernel/config/dsm
CONF=/tmp/dsm.conf
export PATH="$HERE:/dsm/bin:$PATH"

tests=0
failures=0

# A holder that died must not take the suite along.
trap '' PIPE

ok()
{
	tests=$((tests + 1))
	echo "ok $tests $1"
}

not_ok()
{
	tests=$((tests + 1))
	failures=$((failures + 1))
	[ -z "${2-}" ] || echo "$2" | sed 's/^/# /'
	echo "not ok $tests $1"
}

skip()
{
	tests=$((tests + 1))
	echo "ok $tests $1 # SKIP $2"
}

# check NAME COMMAND...: it succeeds
check()
{
	what=$1
	shift
	if out=$("$@" 2>&1); then
		ok "$what"
	else
		not_ok "$what" "'$*' failed: $out"
	fi
}

# refused NAME TEXT COMMAND...: it fails, and says TEXT (an extended regex)
refused()
{
	what=$1 text=$2
	shift 2
	if out=$("$@" 2>&1); then
		not_ok "$what" "'$*' succeeded: $out"
	elif echo "$out" | grep -Eq "$text"; then
		ok "$what"
	else
		not_ok "$what" "'$*' failed without '$text': $out"
	fi
}

# The plan, and the suite's exit status.
finish()
{
	echo "1..$tests"
	[ "$failures" -eq 0 ]
	exit
}

# await SECONDS COMMAND...: polls until it succeeds
await()
{
	limit=$(($(date +%s) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt "$limit" ] || return 1
		usleep 100000
	done
}

# put VALUE ATTRIBUTE: one write(2); its error is on stderr (printf keeps silent)
put()
{
	echo "$1" >"$2"
}

is_debug_kernel()
{
	[ -e /sys/kernel/debug/kmemleak ]
}

# The files that dsm-cluster wrote, with memory that suites can fill.  Node 3 has
# little for copies.  The values are those of helper.h.
write_conf()
{
	awk '/^(cluster|key) / { print }
	     /^node / { print "node", $2, "addr", $4, "memory 96M cache",
			($2 == 3 ? "1M" : "32M") }' /etc/dsm.conf >"$CONF"
}

module_load()
{
	[ -d /sys/module/dsm ] || insmod /dsm/dsm.ko
}

module_unload()
{
	[ ! -d /sys/module/dsm ] || rmmod dsm
}

# cluster_up NODE...: waits for all links
cluster_up()
{
	nodes=
	for id; do
		nodes="$nodes --node $id"
	done
	# shellcheck disable=SC2086 # several words
	dsmctl up "$CONF" $nodes --wait 60
}

cluster_down()
{
	[ -z "$(ls "$CONFIGFS" 2>/dev/null)" ] || dsmctl down
}

# link_state NODE PEER: what the local NODE says
link_state()
{
	sed -n "s/^$2 //p" "$CONFIGFS"/*/nodes/"$1"/links
}

# link_is NODE PEER STATE
link_is()
{
	[ "$(link_state "$1" "$2")" = "$3" ]
}

# link_is_not_up NODE PEER: and the file is there to say so
link_is_not_up()
{
	state=$(link_state "$1" "$2")
	[ -n "$state" ] && [ "$state" != up ]
}

# node_is_down NODE
node_is_down()
{
	[ "$(cat "$CONFIGFS"/*/nodes/"$1"/up)" = 0 ]
}

# nothing_configured: the module is there, but no cluster
nothing_configured()
{
	[ -d "$CONFIGFS" ] && [ -z "$(ls "$CONFIGFS")" ]
}

# counter NODE NAME
counter()
{
	dsmctl stat --node "$1" --json |
		sed -n "s/.*\"$2\": *\([0-9]*\).*/\1/p"
}

# holder_start NODE REGION: a process that stays attached until holder_stop
holder_start()
{
	rm -f /tmp/holder.in /tmp/holder.out
	mkfifo /tmp/holder.in
	DSM_NODE=$1 walker hold "$2" </tmp/holder.in >/tmp/holder.out 2>&1 &
	holder=$!
	exec 9>/tmp/holder.in
	await 20 grep -q ready /tmp/holder.out
}

# Sets held to what the holder's access gave.
holder_stop()
{
	echo go >&9
	exec 9>&-
	wait "$holder"
	# shellcheck disable=SC2034 # for the caller
	held=$(grep signal /tmp/holder.out)
}

# counter_is NAME VALUE: of the guest's node
counter_is()
{
	[ "$(counter "$DSM_NODE" "$1")" = "$2" ]
}

# For suites with a guest for each node: write_net_conf CACHE
write_net_conf()
{
	awk -v cache="$1" '/^(cluster|key) / { print }
	     /^node / { print "node", $2, "addr", $4, "memory 64M cache", cache
	     }' /etc/dsm.conf >"$CONF"
}

# net_up CACHE: load the module and join the other guests
net_up()
{
	write_net_conf "$1"
	check "the module loads" module_load
	check "all links come up" cluster_up "$DSM_NODE"
}
