// SPDX-License-Identifier: GPL-2.0-only
/*
 * A continue goes past the return.
 * rejected: 'box->ref' to be held at start of each loop
 */
#include "types.h"

int f(struct dsm *dsm, const point_box *box, int n)
{
	int i, sum = 0;

	for (i = 0; i < n; i++) {
		const struct point *p = dsm_box_borrow(dsm, box);

		if (!p)
			break;
		if (p->x < 0)
			continue;
		sum += p->x;
		dsm_box_return(dsm, box);
	}
	return sum;
}
