#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# On every guest: each builds a linked structure and walks those of the others.

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

net_up 32M
if [ "$DSM_NODE" = 1 ]; then
	check "a region" walker region-create 9
fi
netsync region
region=$(walker region-find)
check "build and publish" walker build "$region" "chain-$DSM_NODE" 4
netsync built

id=1
while [ "$id" -le "$DSM_NODES" ]; do
	check "walk the structure of node $id" walker walk "$region" "chain-$id"
	id=$((id + 1))
done
netsync walked

# It is here now: a second walk by another process costs no READ.
peer=$((DSM_NODE % DSM_NODES + 1))
reads=$(counter "$DSM_NODE" reads)
check "walk the structure of node $peer again" \
	walker walk "$region" "chain-$peer"
check "that costs no READ" test "$(counter "$DSM_NODE" reads)" -eq "$reads"

fetched=$(counter "$DSM_NODE" pages_fetched)
check "4 MiB of each other node were fetched, each page once" \
	test "$fetched" = $(((DSM_NODES - 1) * 1024))
check "no request failed" test "$(counter "$DSM_NODE" errors)" = 0
netsync checked
if [ "$DSM_NODE" = 1 ]; then
	check "remove the region" dsmctl region rm "$region" --node 1
fi
netsync removed
check "all copies are gone" await 20 counter_is copies 0
check "all chunks are back" await 20 counter_is chunks 0
netsync end

finish
