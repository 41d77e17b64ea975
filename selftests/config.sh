#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The configuration: what configfs and the cluster file accept, and what not.

HERE=$(dirname "$0")
# shellcheck source=common.sh
. "$HERE/common.sh"

cluster=$CONFIGFS/test
key=$(printf '%064d' 7)

# bad VALUE ATTRIBUTE: EINVAL
bad()
{
	refused "${2#"$cluster"/} '$1' is EINVAL" 'Invalid argument' \
		put "$1" "$2"
}

# busy VALUE ATTRIBUTE: EBUSY while a node is up
busy()
{
	refused "${2#"$cluster"/} cannot change while a node is up" 'busy' \
		put "$1" "$2"
}

# node ID ADDR LOCAL
node()
{
	mkdir "$cluster/nodes/$1" &&
		put "$2" "$cluster/nodes/$1/addr" &&
		put "$3" "$cluster/nodes/$1/local"
}

remove_all()
{
	for dir in "$CONFIGFS"/*/nodes/* "$CONFIGFS"/*; do
		[ ! -d "$dir" ] || rmdir "$dir"
	done
}

fresh()
{
	remove_all
	mkdir "$cluster"
	put "$key" "$cluster/key"
}

# shellcheck disable=SC2317 # called through check
all_up()
{
	fresh
	for id in 1 2 3; do
		node "$id" "10.77.0.$id" 1 || return
	done
	for id in 1 2 3; do
		put 1 "$cluster/nodes/$id/up" || return
	done
	await 30 link_is 1 3 up && await 30 link_is 2 3 up &&
		await 30 link_is 1 2 up
}

module_load || { echo "Bail out! no module"; exit 1; }

# Attributes of a cluster.
mkdir "$cluster"
check "defaults of a cluster" sh -c "cd $cluster &&
	test \$((\$(cat base))) = $((0x200000000000)) &&
	test \$((\$(cat span))) = $((32 << 40)) &&
	test \$(cat max_nodes) = 64 && test \$(cat epoch) = 1"
refused "a second cluster is EBUSY" 'busy' mkdir "$CONFIGFS/other"
for value in 0 3 65 128 -1 x; do
	bad "$value" "$cluster/max_nodes"
done
for value in 0 3 0x300000000001 x 0x1000000000000000000; do
	bad "$value" "$cluster/base"
	bad "$value" "$cluster/span"
done
bad 0 "$cluster/epoch"
check "the epoch grows" put 7 "$cluster/epoch"
bad 6 "$cluster/epoch"
check "the epoch is what was written" grep -qx 7 "$cluster/epoch"
bad "${key#0}" "$cluster/key"
bad "${key}0" "$cluster/key"
bad "${key}00" "$cluster/key"
bad "g${key#0}" "$cluster/key"
refused "the key cannot be read" '.' cat "$cluster/key"

# Nodes.
for id in 01 -1 64 +1 1x 0x1 abc 18446744073709551617; do
	refused "node id '$id' is EINVAL" 'Invalid argument' \
		mkdir "$cluster/nodes/$id"
done
check "lowest node id" mkdir "$cluster/nodes/0"
check "highest node id" mkdir "$cluster/nodes/63"
refused "a second node of one id" 'exists' mkdir "$cluster/nodes/63"
rmdir "$cluster/nodes/0" "$cluster/nodes/63"
put 4 "$cluster/max_nodes"
refused "a node beyond max_nodes is EINVAL" 'Invalid argument' \
	mkdir "$cluster/nodes/4"
mkdir "$cluster/nodes/3"
attributes=$cluster/nodes/3
check "defaults of a node" sh -c "cd $attributes &&
	test \$(cat port) = 7471 && test \$(cat local) = 0 &&
	test \$(cat memory) = $((1 << 30)) && test \$(cat cache) = $((256 << 20)) &&
	test \$(cat up) = 0"
for value in 300.1.1.1 10.77.0 10.77.0.1.1 hello fe80::1::2; do
	bad "$value" "$attributes/addr"
done
check "an IPv6 address" put fd00::77:1 "$attributes/addr"
for value in 0 -1 65536 http; do
	bad "$value" "$attributes/port"
done
for value in 2 -1 x; do
	bad "$value" "$attributes/local"
done
for value in 0 1 2097153 $((1 << 62)) x; do
	bad "$value" "$attributes/memory"
done
bad x "$attributes/cache"
bad 1 "$attributes/up"

# Bringing a node up with something missing.
fresh
node 1 10.77.0.1 1
mkdir "$cluster/nodes/2"
bad 1 "$cluster/nodes/1/up"
put 10.77.0.1 "$cluster/nodes/2/addr"
bad 1 "$cluster/nodes/1/up"
check "the same address with another port is allowed" sh -c \
	"printf 7472 >$cluster/nodes/2/port && printf 1 >$cluster/nodes/1/up"
remove_all
mkdir "$cluster"
node 1 10.77.0.1 1
bad 1 "$cluster/nodes/1/up"
put "$key" "$cluster/key"
put 192.0.2.1 "$cluster/nodes/1/addr"
refused "an address of no RDMA device is ENODEV" 'No such device' \
	put 1 "$cluster/nodes/1/up"
check "it is down after that" grep -qx 0 "$cluster/nodes/1/up"
put 10.77.0.1 "$cluster/nodes/1/addr"
check "and comes up when that is mended" put 1 "$cluster/nodes/1/up"

# While nodes are up.
check "three nodes come up" all_up
for id in 1 2 3; do
	for peer in 1 2 3; do
		check "node $id says that its link to $peer is up" \
			link_is $id $peer up
	done
done
busy 0x400000000000 "$cluster/base"
busy $((16 << 40)) "$cluster/span"
busy 32 "$cluster/max_nodes"
busy "$key" "$cluster/key"
busy 10.77.0.9 "$cluster/nodes/1/addr"
busy 7000 "$cluster/nodes/2/port"
busy 0 "$cluster/nodes/1/local"
busy $((64 << 20)) "$cluster/nodes/1/memory"
busy $((64 << 20)) "$cluster/nodes/1/cache"
refused "no node can be added while one is up" 'busy' mkdir "$cluster/nodes/9"
refused "nor a second cluster" 'busy' mkdir "$CONFIGFS/other"
check "the epoch may grow while a node is up" put 9 "$cluster/epoch"
put 1 "$cluster/nodes/1/up" 2>/dev/null
check "up twice leaves the node up" grep -qx 1 "$cluster/nodes/1/up"
check "and its links" link_is 1 2 up

# Users of a node.
holder_start 1 held
refused "a node with an attached process cannot go down" 'busy' \
	put 0 "$cluster/nodes/1/up"
refused "nor does dsmctl down work" . dsmctl down
check "the node is still up" grep -qx 1 "$cluster/nodes/1/up"
check "other nodes can go down" put 0 "$cluster/nodes/3/up"
check "their links are down" await 20 link_is_not_up 1 3
check "and come again" sh -c "printf 1 >$cluster/nodes/3/up"
check "with their links" await 30 link_is 1 3 up
holder_stop
check "the process does not notice" test "$held" = "signal 0"
check "without it the node goes down" put 0 "$cluster/nodes/1/up"
check "and up again" put 1 "$cluster/nodes/1/up"
await 30 link_is 1 2 up

holder_start 1 forced
check "rmdir brings a node down by force" rmdir "$cluster/nodes/1"
holder_stop
check "its process gets SIGBUS" test "$held" = "signal 7"
check "the other nodes are still up" grep -qx 1 "$cluster/nodes/2/up"
check "and linked" await 20 link_is 2 3 up
remove_all
check "nothing is left" nothing_configured

# Cluster files.
# file NAME LINE: the file on stdin is refused, naming that line
file()
{
	cat >/tmp/bad.conf
	refused "cluster file: $1" "bad\\.conf:$2:" \
		dsmctl up /tmp/bad.conf --node 1
	nothing_configured || not_ok "cluster file: $1 leaves nothing"
	remove_all
}

file "duplicate id" 5 <<END
cluster test
key $key
node 1 addr 10.77.0.1
# comment
node 1 addr 10.77.0.2
END
file "bad address" 3 <<END
cluster test
key $key
node 1 addr 10.77.0
END
file "id too large" 4 <<END
cluster test
key $key
node 1 addr 10.77.0.1
node 64 addr 10.77.0.2
END
file "short key" 2 <<END
cluster test
key 1234
node 1 addr 10.77.0.1
END
file "unknown word" 3 <<END
cluster test
key $key
edge 1 addr 10.77.0.1
END
file "bad size" 3 <<END
cluster test
key $key
node 1 addr 10.77.0.1 memory 12Q
END
file "memory in parts of a chunk" 3 <<END
cluster test
key $key
node 1 addr 10.77.0.1 memory 63M
END
file "node without an address" 3 <<END
cluster test
key $key
node 1
END
sed '/^key/d' "$CONF" >/tmp/bad.conf
refused "cluster file: no key" key dsmctl up /tmp/bad.conf --node 1
refused "cluster file: missing file" 'No such file' \
	dsmctl up /tmp/missing.conf --node 1
refused "cluster file: node that is not in it" 9 dsmctl up "$CONF" --node 9
check "a good file still works" cluster_up 1 2 3
refused "up twice" . dsmctl up "$CONF" --node 1
check "down" dsmctl down
refused "down twice" . dsmctl down

# IPv6: the same cluster at other addresses of the same device.
device=$(ip -o addr | awk '$4 ~ /^10\.77\.0\.1\// { print $2 }')
for id in 1 2; do
	ip -6 addr add "fd77::$id/64" dev "$device"
done
sed 's/addr 10\.77\.0\./addr fd77::/' "$CONF" | grep -v '^node 3' >/tmp/ipv6.conf
# The address may have to be found free of duplicates first.
check "a cluster of IPv6 addresses comes up" \
	await 20 dsmctl up /tmp/ipv6.conf --node 1 --node 2 --wait 10
check "its link is up" link_is 1 2 up
check "its nodes are read over IPv6" dsmctl ping 2 --node 1 --count 100
check "it goes down" dsmctl down

finish
