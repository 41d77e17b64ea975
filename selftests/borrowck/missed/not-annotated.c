// SPDX-License-Identifier: GPL-2.0-only
/* A function that does not say what it wants. */
#include "types.h"

int sum(const struct point *p, const point_box *box);

int f(struct dsm *dsm, point_box *box)
{
	struct point *p = dsm_box_borrow_mut(dsm, box, 0);

	if (!p)
		return -1;
	dsm_box_return_mut(dsm, box);
	return sum(p, box);
}
