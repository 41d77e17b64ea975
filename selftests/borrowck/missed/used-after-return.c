// SPDX-License-Identifier: GPL-2.0-only
/* What a borrow returned is an ordinary pointer. */
#include "types.h"

int f(struct dsm *dsm, const point_box *box)
{
	const struct point *p = dsm_box_borrow(dsm, box);

	if (!p)
		return -1;
	dsm_box_return(dsm, box);
	return p->x;
}
