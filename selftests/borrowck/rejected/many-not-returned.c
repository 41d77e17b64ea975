// SPDX-License-Identifier: GPL-2.0-only
/*
 * One of those that were borrowed at once stays open.
 * rejected: 'b->ref' is not held on every path through here
 */
#include "types.h"

int f(struct dsm *dsm, const point_box *a, const point_box *b)
{
	const struct dsm_ref *refs[] = { &a->ref, &b->ref };
	const void *ptrs[2];
	const struct point *p;
	int sum = 0;

	if (!dsm_borrow_many(dsm, refs, ptrs, 2))
		return -1;
	p = dsm_box_borrowed(a, ptrs[0]);
	if (p) {
		sum += p->x;
		dsm_box_return(dsm, a);
	}
	p = dsm_box_borrowed(b, ptrs[1]);
	if (p)
		sum += p->x;
	return sum;
}
