#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# SUITE is net-NAME: the suite NAME about ownership with a guest for each node.  Its
# tests run in the guest of node 1, its workers in those of their nodes; see agent.h.

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

# Memory and copies of each node are those that the suite has in one kernel.
suite=${SUITE:?is not set}
suite=${suite#net-}
memory=96M
cache=32M
tight_cache=1M
case $suite in
litmus)
	memory=32M ;;
stress)
	memory=24M
	cache=4M ;;
silence)
	memory=64M
	cache=8M ;;
esac
# The node that has little for copies, which are to be evicted.
tight=3
[ "$suite" != silence ] || tight=1

awk -v memory=$memory -v cache=$cache -v tight=$tight -v tight_cache=$tight_cache '
	/^(cluster|key) / { print }
	/^node / { print "node", $2, "addr", $4, "memory", memory, "cache",
		   ($2 == tight ? tight_cache : cache) }' /etc/dsm.conf >"$CONF"
# Who drops caches shall not say so each time.
echo 4 >/proc/sys/vm/drop_caches
if ! module_load || ! cluster_up "$DSM_NODE"; then
	echo "Bail out! the cluster does not come up"
	exit 1
fi
! is_debug_kernel || export ROUNDS=40
SUITE_GUEST=$DSM_NODE "$HERE/$suite"
