// SPDX-License-Identifier: GPL-2.0-only
/* One spelling is one object, though its index has changed. */
#include "types.h"

int f(struct dsm *dsm, const point_box *boxes, int i)
{
	const struct point *p = dsm_box_borrow(dsm, &boxes[i]);

	if (!p)
		return -1;
	i++;
	return dsm_box_return(dsm, &boxes[i]);
}
