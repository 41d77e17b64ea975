// SPDX-License-Identifier: GPL-2.0-only
/* A borrow begins where its result is tested; this one nowhere. */
#include "types.h"

int f(struct dsm *dsm, const point_box *box)
{
	const struct point *p = dsm_box_borrow(dsm, box);

	return p->x;
}
