// SPDX-License-Identifier: GPL-2.0-only
/* A box: its pointers have its type. */
#include "types.h"

int f(struct dsm *dsm)
{
	DSM_BOX(struct point) box;
	struct point *p = dsm_box_alloc(dsm, &box);
	const struct point *q;
	int sum;

	if (!p)
		return -1;
	p->x = 1;
	dsm_box_return_mut(dsm, &box);

	q = dsm_box_borrow(dsm, &box);
	if (!q)
		return -1;
	sum = q->x + q->y;
	dsm_box_return(dsm, &box);

	p = dsm_box_borrow_mut(dsm, &box, 0);
	if (p) {
		p->x = sum;
		dsm_box_return_mut(dsm, &box);
	}
	return dsm_box_drop(dsm, &box);
}
