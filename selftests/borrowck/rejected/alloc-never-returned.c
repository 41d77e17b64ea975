// SPDX-License-Identifier: GPL-2.0-only
/*
 * A new object is borrowed, too.
 * rejected: 'box->ref' is not held on every path through here
 */
#include "types.h"

int f(struct dsm *dsm, point_box *box)
{
	struct point *p = dsm_box_alloc(dsm, box);

	if (!p)
		return -1;
	p->x = 1;
	return 0;
}
