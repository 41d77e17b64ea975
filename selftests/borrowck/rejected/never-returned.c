// SPDX-License-Identifier: GPL-2.0-only
/*
 * A borrow that is never returned.
 * rejected: 'box->ref' is not held on every path through here
 */
#include "types.h"

int f(struct dsm *dsm, const point_box *box)
{
	const struct point *p = dsm_box_borrow(dsm, box);

	if (!p)
		return -1;
	return p->x;
}
