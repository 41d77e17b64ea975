// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrowed in one loop, returned in another: see DSM_UNCHECKED.
 * rejected: releasing object 'boxes[i].ref' that was not held
 */
#include "types.h"

void f(struct dsm *dsm, const point_box *boxes, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		if (!dsm_box_borrow(dsm, &boxes[i]))
			break;
	}
	while (i-- > 0)
		dsm_box_return(dsm, &boxes[i]);
}
