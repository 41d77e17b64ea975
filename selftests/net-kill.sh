#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# On every guest.  Node 3 is killed while the others fault on its pages, and comes
# back later (run.sh arranges both).

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

# Every walk of 8 MiB has to fetch, however often it is repeated.
net_up 1M

if [ -n "$DSM_BACK" ]; then
	region=$(walker region-find)
	check "the returned guest builds anew" \
		walker build "$region" chain-back 4
	check "and walks what the others have" walker walk "$region" chain-1
	# What says that they are done with it.
	check "node 1 has read it" walker walk "$region" read-1
	check "node 2 has read it" walker walk "$region" read-2
	walker build "$region" seen 1
	# The others read that from here, and go down when they have.
	check "node 1 has gone" await 60 link_is_not_up 3 1
	check "node 2 has gone" await 60 link_is_not_up 3 2
	finish
fi

if [ "$DSM_NODE" = 1 ]; then
	check "a region that node 3 does not keep" walker region-create 3
fi
netsync region
region=$(walker region-find)
check "build and publish" walker build "$region" "chain-$DSM_NODE" 8
netsync built

if [ "$DSM_NODE" = 3 ]; then
	# The end of this is the kill.
	sleep 3600
	not_ok "node 3 was killed"
	finish
fi

other=$((3 - DSM_NODE))
walker keep "$region" "chain-$other" /tmp/stop >/tmp/keep.out 2>&1 &
keeper=$!
out=$(timeout 200 walker lose "$region" chain-3 2>&1)
status=$?
echo "# pages of node 3: $out"
if [ $status -eq 0 ]; then
	ok "pages of the killed node are SIGBUS within 5 seconds"
else
	not_ok "pages of the killed node are SIGBUS within 5 seconds" "$out"
fi
check "pages of node $other are still read" \
	walker walk "$region" "chain-$other"
check "new objects can be built and published" \
	walker build "$region" "later-$DSM_NODE" 2
check "and read by the other" walker walk "$region" "later-$other"
check "the link to node $other is up" link_is "$DSM_NODE" "$other" up

check "the link to node 3 comes back" await 180 link_is "$DSM_NODE" 3 up
check "new data of node 3 are read" walker walk "$region" chain-back
check "the link was counted as lost" \
	test "$(counter "$DSM_NODE" links_lost)" -ge 1
: >/tmp/stop
wait "$keeper"
status=$?
sed "s/^/# pages of node $other: /" /tmp/keep.out
check "who never touched node 3 never waited nor failed" test $status -eq 0
check "tell node 3" walker build "$region" "read-$DSM_NODE" 1
# Node 3 reads that from here: only then may this node go down.
check "node 3 was told" walker walk "$region" seen
netsync told 2

finish
