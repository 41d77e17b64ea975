// SPDX-License-Identifier: GPL-2.0-only
/*
 * An error path forgets to return the exclusive borrow.
 * rejected: 'box->ref' is not held on every path through here
 */
#include "types.h"

int f(struct dsm *dsm, point_box *box, int x)
{
	struct point *p = dsm_box_borrow_mut(dsm, box, 0);

	if (!p)
		return -1;
	if (x < 0)
		return -2;
	p->x = x;
	return dsm_box_return_mut(dsm, box);
}
