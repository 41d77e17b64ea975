#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Page faults against raw one-sided READs, two nodes in one kernel.
#
#	bench.sh [options of dsm-cluster]
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)

# Node 2 must be able to keep copies of all that node 1 publishes.
exec "$top/tools/dsm-cluster" --one-kernel -n 2 --memory 1536 "$@" -- dsm-bench
