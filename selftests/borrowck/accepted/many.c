// SPDX-License-Identifier: GPL-2.0-only
/* Many at once; the check is told of each. */
#include "types.h"

int two(struct dsm *dsm, const point_box *a, const point_box *b)
{
	const struct dsm_ref *refs[] = { &a->ref, &b->ref };
	const void *ptrs[2];
	const struct point *p, *q;
	int sum = 0;

	if (!dsm_borrow_many(dsm, refs, ptrs, 2))
		return -1;
	p = dsm_box_borrowed(a, ptrs[0]);
	if (p) {
		sum += p->x;
		dsm_box_return(dsm, a);
	}
	q = dsm_box_borrowed(b, ptrs[1]);
	if (q) {
		sum += q->x;
		dsm_box_return(dsm, b);
	}
	return sum;
}

long all(struct dsm *dsm, const struct dsm_ref *const *refs, const void **ptrs,
	 size_t n)
{
	long sum = 0;
	size_t i;

	dsm_prefetch(dsm, refs, n);
	if (!dsm_borrow_many(dsm, refs, ptrs, n))
		return -1;
	for (i = 0; i < n; i++) {
		const void *p = dsm_borrowed(refs[i], ptrs[i]);

		if (!p)
			continue;
		sum += ((const struct point *)p)->x;
		dsm_return(dsm, refs[i]);
	}
	return sum;
}
