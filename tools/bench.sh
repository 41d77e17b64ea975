#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Page faults and borrows against raw one-sided READs.
#
#	bench.sh [--guests] [options of dsm-cluster]
#
# Nine nodes in one kernel, seven of which only keep copies; or two guests, where the
# network costs more and the processors less.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)

# Node 2 must be able to keep copies of all that node 1 publishes.
lane="--one-kernel -n 9 --memory 4800"
if [ "${1-}" = --guests ]; then
	shift
	lane="-n 2 --memory 768"
fi
# shellcheck disable=SC2086 # several words
exec "$top/tools/dsm-cluster" $lane "$@" -- dsm-bench
