// SPDX-License-Identifier: GPL-2.0-only
/* Each round returns what it has borrowed. */
#include "types.h"

int f(struct dsm *dsm, const point_box *boxes, int n)
{
	int i, sum = 0;

	for (i = 0; i < n; i++) {
		const struct point *p = dsm_box_borrow(dsm, &boxes[i]);

		if (!p)
			continue;
		if (p->x < 0) {
			dsm_box_return(dsm, &boxes[i]);
			break;
		}
		sum += p->x;
		dsm_box_return(dsm, &boxes[i]);
	}
	return sum;
}
