#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# On every guest.  Who is let in: a wrong key, a fenced node, its old epoch, its
# new one.

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

# refusals_beyond COUNT
# shellcheck disable=SC2317 # called through check
refusals_beyond()
{
	[ "$(counter "$DSM_NODE" links_refused)" -gt "$1" ]
}

module_load
write_net_conf 32M
netsync loaded

# Node 3 does not know the key.
if [ "$DSM_NODE" = 3 ]; then
	sed "s/^key .*/key $(printf '%064d' 9)/" "$CONF" >/tmp/wrong.conf
	check "a node with a wrong key comes up" \
		dsmctl up /tmp/wrong.conf --node 3
else
	dsmctl up "$CONF" --node "$DSM_NODE"
	check "nodes that know the key are linked" \
		await 60 link_is "$DSM_NODE" $((3 - DSM_NODE)) up
fi
netsync up
check "refusals are counted" await 60 refusals_beyond 0
if [ "$DSM_NODE" = 3 ]; then
	check "it has no link to node 1" link_is_not_up 3 1
	check "nor to node 2" link_is_not_up 3 2
else
	check "it has no link here" link_is_not_up "$DSM_NODE" 3
fi
netsync refused
if [ "$DSM_NODE" = 3 ]; then
	dsmctl down
	check "with the right key it is let in" cluster_up 3
else
	check "with the right key it is let in" \
		await 60 link_is "$DSM_NODE" 3 up
fi
netsync joined

# Nodes 1 and 2 fence it.
if [ "$DSM_NODE" = 1 ]; then
	check "a region that node 3 does not keep" walker region-create 3
fi
netsync region
region=$(walker region-find)
check "build and publish" walker build "$region" "chain-$DSM_NODE" 8
netsync built

if [ "$DSM_NODE" != 3 ]; then
	other=$((3 - DSM_NODE))
	rm -f /tmp/survive.in
	mkfifo /tmp/survive.in
	walker survive "$region" chain-3 </tmp/survive.in \
		>/tmp/survive.out 2>&1 &
	survivor=$!
	exec 9>/tmp/survive.in
	check "pages of node 3 are cached" \
		await 60 grep -q ready /tmp/survive.out
fi
netsync cached
if [ "$DSM_NODE" != 3 ]; then
	refusals=$(counter "$DSM_NODE" links_refused)
	check "fence node 3" dsmctl fence 3
	check "its link is fenced" await 20 link_is "$DSM_NODE" 3 fenced
	check "the epoch has grown" grep -qx 2 "$CONFIGFS"/*/epoch
	echo go >&9
	exec 9>&-
	wait "$survivor"
	status=$?
	check "its cached pages are right, the others SIGBUS" \
		test "$status $(tail -n 1 /tmp/survive.out)" = \
		"0 uncached page: signal 7"
	check "the link to node $other stays" link_is "$DSM_NODE" "$other" up
	check "pages of node $other are read" \
		walker walk "$region" "chain-$other"
	check "node 3 is refused with its old epoch" \
		await 60 refusals_beyond "$refusals"
	check "its link stays fenced" link_is "$DSM_NODE" 3 fenced
fi
netsync fenced

if [ "$DSM_NODE" = 3 ]; then
	dsmctl down
	awk '/^epoch / { next } { print } /^key / { print "epoch 2" }' \
		"$CONF" >/tmp/new.conf
	mv /tmp/new.conf "$CONF"
	check "with the new epoch it is let in" cluster_up 3
	check "it builds anew" walker build "$region" chain-new 4
	check "it reads what the others have" walker walk "$region" chain-1
else
	check "with the new epoch it is let in" \
		await 60 link_is "$DSM_NODE" 3 up
	check "its new data are read" walker walk "$region" chain-new
fi
netsync rejoined

finish
