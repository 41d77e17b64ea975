// SPDX-License-Identifier: GPL-2.0-only
/*
 * A borrow may fail; then there is nothing to return.
 * rejected: releasing object 'box->ref' that was not held
 */
#include "types.h"

int f(struct dsm *dsm, const point_box *box)
{
	const struct point *p = dsm_box_borrow(dsm, box);
	int x = p->x;

	dsm_box_return(dsm, box);
	return x;
}
