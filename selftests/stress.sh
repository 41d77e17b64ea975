#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Ownership under stress, on three nodes; see stress.c.

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

# Little memory, so that it is used again and again, and that evicts.
awk '/^(cluster|key) / { print }
     /^node / { print "node", $2, "addr", $4, "memory 24M cache",
		($2 == 3 ? "1M" : "4M") }' /etc/dsm.conf >"$CONF"
# Who drops caches shall not say so each time.
echo 4 >/proc/sys/vm/drop_caches
if ! module_load || ! cluster_up 1 2 3; then
	echo "Bail out! the cluster does not come up"
	exit 1
fi
exec "$HERE/stress"
