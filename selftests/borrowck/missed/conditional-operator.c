// SPDX-License-Identifier: GPL-2.0-only
/* Nor does it begin at a ?: operator. */
#include "types.h"

int f(struct dsm *dsm, const point_box *box)
{
	const struct point *p = dsm_box_borrow(dsm, box);

	return p ? p->x : -1;
}
