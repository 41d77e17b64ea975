#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# dsmctl on a cluster that is up: what it prints and what it refuses.

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

if ! module_load || ! cluster_up 1 2 3; then
	echo "Bail out! no cluster"
	exit 1
fi

status=$(dsmctl status)
for id in 1 2 3; do
	case $status in
	*"10.77.0.$id"*) ok "status shows node $id" ;;
	*) not_ok "status shows node $id" "$status" ;;
	esac
done

for name in faults pages_fetched round_trips reads reads_directory bytes_read \
	    messages_sent links_up chunks copies links; do
	check "stat has $name as text and JSON" sh -c "
		dsmctl stat --node 1 | grep -qw $name &&
		dsmctl stat --node 1 --json | grep -q '\"$name\": *[0-9]'"
done
check "links are counted, the node's own included" \
	test "$(counter 1 links)" = 3
refused "stat of a node that is not here" . dsmctl stat --node 9

check "ping reads from a peer" dsmctl ping 2 --node 1 --count 16
before=$(counter 1 reads_ping)
check "ping with size, depth and count" \
	dsmctl ping 3 --node 1 --size 4096 --depth 8 --count 64 --json
check "ping made the READs it was told to" \
	test "$(counter 1 reads_ping)" -eq $((before + 64))
refused "ping of an unknown node" . dsmctl ping 9 --node 1
refused "ping with size 0" . dsmctl ping 2 --node 1 --size 0
refused "ping with depth 65" . dsmctl ping 2 --node 1 --depth 65

check "region create" dsmctl region create tool --mode 0640 --node 1
check "region ls shows it with its mode" sh -c \
	"dsmctl region ls --node 2 | grep tool | grep -Eq '0?640|rw-r-----'"
refused "region create of a name that is taken" 'exists' \
	dsmctl region create tool --node 2
check "region rm from another node" dsmctl region rm tool --node 3
refused "region rm of an unknown name" 'no region' \
	dsmctl region rm tool --node 1

refused "unknown command" . dsmctl frobnicate
refused "up while up" . dsmctl up "$CONF" --node 1
check "down" dsmctl down
check "nothing is left in configfs" nothing_configured
refused "stat without a cluster" . dsmctl stat

finish
