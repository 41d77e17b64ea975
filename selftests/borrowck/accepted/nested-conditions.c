// SPDX-License-Identifier: GPL-2.0-only
/* The test may be part of a longer condition. */
#include "types.h"

int f(struct dsm *dsm, const point_box *a, const point_box *b, int want)
{
	const struct point *p, *q;
	int sum = 0;

	if (want && dsm_borrow(dsm, &a->ref))
		dsm_return(dsm, &a->ref);

	p = dsm_box_borrow(dsm, a);
	if (__builtin_expect(!p, 0))
		return -1;
	q = dsm_box_borrow(dsm, b);
	if (q) {
		sum = p->x * q->x;
		dsm_box_return(dsm, b);
	}
	dsm_box_return(dsm, a);
	return sum;
}
