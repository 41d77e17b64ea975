#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Loading and unloading: without RDMA, while in use, many times, without a leak.

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

cycles=3
is_debug_kernel && cycles=20
[ -z "$STRESS" ] || cycles=100

find_leaks()
{
	# kmemleak reports what is older than 5 s and was missed in two scans.
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	echo scan >/sys/kernel/debug/kmemleak
	cat /sys/kernel/debug/kmemleak
}

device=$(rdma link show rxe0/1 2>/dev/null | sed -n 's/.* netdev \([^ ]*\).*/\1/p')
if [ -z "$device" ]; then
	skip "insmod without an RDMA device" "no link rxe0"
else
	rdma link delete rxe0
	check "insmod without an RDMA device" module_load
	refused "up without an RDMA device is ENODEV" 'no RDMA device' \
		dsmctl up "$CONF" --node 1
	check "that leaves nothing behind" nothing_configured
	rdma link add rxe0 type rxe netdev "$device"
	check "with one it comes up, the module still loaded" cluster_up 1 2 3
	check "the RDMA device can go away under it" \
		timeout 30 rdma link delete rxe0
	check "its nodes are down then" node_is_down 1
	check "the cluster can be brought down without it" timeout 60 dsmctl down
	rdma link add rxe0 type rxe netdev "$device"
	check "rmmod" module_unload
fi

check "insmod" module_load
refused "insmod twice" 'exists' insmod /dsm/dsm.ko
check "a process may open the device without a cluster" sh -c ': </dev/dsm'
exec 8</dev/dsm
refused "rmmod while the device is open" . rmmod dsm
exec 8<&-
check "three nodes come up" cluster_up 1 2 3
refused "rmmod while nodes are up" . rmmod dsm
holder_start 2 held
refused "rmmod while a process is attached" . rmmod dsm
holder_stop
check "the process does not notice" test "$held" = "signal 0"
dsmctl down
mkdir "$CONFIGFS/test"
refused "rmmod while a cluster directory exists" . rmmod dsm
rmdir "$CONFIGFS/test"
check "rmmod when nothing is left" rmmod dsm
check "its device is gone" test ! -e /dev/dsm
check "and its directory in configfs" test ! -e "$CONFIGFS"

one_cycle()
{
	module_load && cluster_up 1 2 3 &&
		dsmctl region create cycle --mode 0600 --node 1 &&
		DSM_NODE=1 walker build cycle chain 2 &&
		DSM_NODE=2 walker walk cycle chain &&
		DSM_NODE=3 walker walk cycle chain &&
		dsmctl down && rmmod dsm
}

if is_debug_kernel; then
	find_leaks >/dev/null
	echo clear >/sys/kernel/debug/kmemleak
fi
cycle=0
while [ $cycle -lt $cycles ]; do
	out=$(one_cycle 2>&1) || break
	cycle=$((cycle + 1))
	[ $((cycle % 5)) -ne 0 ] || echo "# $cycle of $cycles cycles"
done
if [ $cycle -eq $cycles ]; then
	ok "load, up, use, down, unload: $cycles times"
else
	not_ok "load, up, use, down, unload: $cycles times" \
		"after $cycle times: $out"
fi

if is_debug_kernel; then
	leaks=$(find_leaks)
	if [ -z "$leaks" ]; then
		ok "kmemleak finds nothing"
	else
		not_ok "kmemleak finds nothing" "$leaks"
	fi
else
	skip "kmemleak finds nothing" "the kernel has no kmemleak"
fi

finish
