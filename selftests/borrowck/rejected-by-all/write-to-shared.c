// SPDX-License-Identifier: GPL-2.0-only
/*
 * A store through a shared borrow.
 * rejected: cannot assign to variable 'p' with const-qualified type 'const struct point *'
 */
#include "types.h"

int f(struct dsm *dsm, const point_box *box)
{
	const struct point *p = dsm_box_borrow(dsm, box);

	if (!p)
		return -1;
	p->x = 1;
	return dsm_box_return(dsm, box);
}
