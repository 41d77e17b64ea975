#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The proof of silence, see silence.c: nine nodes in this guest.

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

# The first node's cache is small, so that what it borrowed can be evicted.  All
# share one address.
awk '/^(cluster|key) / { print }' /etc/dsm.conf >"$CONF"
for id in 1 2 3 4 5 6 7 8 9; do
	echo "node $id addr 10.77.0.1 port $((7470 + id)) memory 64M cache" \
		"$([ $id = 1 ] && echo 1M || echo 8M)"
done >>"$CONF"

if ! module_load || ! cluster_up 1 2 3 4 5 6 7 8 9; then
	echo "Bail out! no cluster"
	exit 1
fi
silence
