#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The memory model, on four nodes; see litmus.c.

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

# The last ones have little memory for copies.
awk '/^(cluster|key) / { print }' /etc/dsm.conf >"$CONF"
for id in 1 2 3 4; do
	ip addr add "10.77.0.$id/24" dev dummy0 2>/dev/null
	echo "node $id addr 10.77.0.$id memory 32M cache $((id < 3 ? 32 : 1))M"
done >>"$CONF"
# Who drops caches shall not say so each time.
echo 4 >/proc/sys/vm/drop_caches
if ! module_load || ! cluster_up 1 2 3 4; then
	echo "Bail out! the cluster does not come up"
	exit 1
fi
! is_debug_kernel || export ROUNDS=200
exec "$HERE/litmus"
