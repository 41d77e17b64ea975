// SPDX-License-Identifier: GPL-2.0-only
/* More than the check can follow: a function that opts out. */
#include "types.h"

int f(struct dsm *dsm, point_box *boxes, int n) DSM_UNCHECKED;

int f(struct dsm *dsm, point_box *boxes, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		if (!dsm_box_borrow_mut(dsm, &boxes[i], 0))
			break;
	}
	n = i;
	while (i-- > 0)
		dsm_box_return_mut(dsm, &boxes[i]);
	return n;
}
