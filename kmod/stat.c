// SPDX-License-Identifier: GPL-2.0-only
#include "stat.h"

/**
 * dsm_stat_sum() - read counters
 * @stat: per-CPU values
 * @sum: their sums; exact for everything that ended before the call
 */
void dsm_stat_sum(struct dsm_stat __percpu *stat, struct dsm_stat *sum)
{
	unsigned int i;
	int cpu;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		const struct dsm_stat *s = per_cpu_ptr(stat, cpu);

		for (i = 0; i < DSM_COUNTER_NR; i++)
			sum->value[i] += READ_ONCE(s->value[i]);
	}
}
