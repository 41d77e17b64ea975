#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A peer in user space that misbehaves: in the set-up of a link, in messages, in
# what it lets others READ and in its own one-sided requests.  Nodes 1 and 2 are
# in this kernel; what the programs do as node 0 and node 3 is in rogue-*.c.

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

device=$(rdma link show rxe0/1 2>/dev/null | sed -n 's/.* netdev \([^ ]*\).*/\1/p')
ip addr add 10.77.0.10/24 dev "$device" 2>/dev/null
awk '/^node 1 / { print "node 0 addr 10.77.0.10" } { print }' "$CONF" \
	>/tmp/rogue.conf

module_load || { echo "Bail out! no module"; exit 1; }
dsmctl up /tmp/rogue.conf --node 1 --node 2
await 30 link_is 1 2 up || { echo "Bail out! no link"; exit 1; }

# A region that neither of the rogue's nodes keeps the record of.
for ROGUE_REGION in one two three four five six seven eight nine ten; do
	dsmctl region create "$ROGUE_REGION" --node 1 2>/dev/null && break
done
export ROGUE_REGION

# Each part has a TAP of its own.
worst=0
for part in setup message page; do
	[ "${1-$part}" = "$part" ] || continue
	begun=$(date +%s)
	"rogue-$part" || worst=1
	echo "# $part: $(($(date +%s) - begun)) s"
done
exit $worst
