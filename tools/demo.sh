#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Which of Debian's packages do the most others need, directly or not?  Asked of
# a virtual cluster: node 1 builds the graph of this machine's package index in
# shared memory, the others follow its pointers.  The answer is checked against
# that of one process without dsm.
#
#	demo.sh [options of dsm-cluster]	three guests by default
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
graph=$top/build/user/bin/dsm-graph
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/data"

shopt -s nullglob
lists=(/var/lib/apt/lists/*_Packages /var/lib/apt/lists/*_Packages.*)
if [ ${#lists[@]} -eq 0 ]; then
	echo "demo: apt has no package index: run 'apt-get update'" >&2
	exit 1
fi

# The largest first: of packages of one name the first counts.  The fields that
# make the graph are a quarter of the text, and each guest holds it in memory.
while read -r list; do
	/usr/lib/apt/apt-helper cat-file "$list"
	echo
done < <(ls -S "${lists[@]}") |
	awk '/^(Package|Version|Pre-Depends|Depends|Provides):|^$/' \
		>"$dir/data/packages"
entries=$(grep -c '^Package:' "$dir/data/packages")
echo "demo: $entries entries in ${#lists[@]} lists of apt, some for one package"

start=$SECONDS
"$graph" --local "$dir/data/packages" >"$dir/expected"
"$top/tools/dsm-cluster" --dir "$dir/data" "$@" -- \
	dsm-graph /data/packages | tee "$dir/output" || {
	status=$?
	echo "demo: FAIL: the cluster ended with status $status"
	exit "$status"
}

sed -n 's/^1| =/=/p' "$dir/output" >"$dir/result"
if ! diff -u "$dir/expected" "$dir/result"; then
	echo "demo: FAIL: one process without dsm finds something else"
	exit 1
fi
echo "demo: PASS: one process without dsm finds the same ($((SECONDS - start)) s)"
