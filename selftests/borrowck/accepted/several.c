// SPDX-License-Identifier: GPL-2.0-only
/* Several objects at once, returned in any order. */
#include "types.h"

int f(struct dsm *dsm, point_box *a, point_box *b, const point_box *c)
{
	struct point *p = dsm_box_borrow_mut(dsm, a, 0), *q;
	const struct point *r;

	if (!p)
		return -1;
	q = dsm_box_borrow_mut(dsm, b, 0);
	if (q) {
		r = dsm_box_borrow(dsm, c);
		if (r) {
			p->x = r->x;
			q->x = r->y;
			dsm_box_return(dsm, c);
		}
		dsm_box_return_mut(dsm, a);
		return dsm_box_return_mut(dsm, b);
	}
	return dsm_box_return_mut(dsm, a);
}
