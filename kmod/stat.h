/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_STAT_H
#define DSM_STAT_H

#include <linux/percpu.h>
#include <linux/dsm.h>

/* Counters of a node or of a region: exact, as each CPU adds to its own. */
struct dsm_stat {
	u64 value[DSM_COUNTER_NR];
};

static inline void dsm_stat_add(struct dsm_stat __percpu *stat,
				enum dsm_counter counter, s64 n)
{
	this_cpu_add(stat->value[counter], n);
}

void dsm_stat_sum(struct dsm_stat __percpu *stat, struct dsm_stat *sum);

#endif /* DSM_STAT_H */
