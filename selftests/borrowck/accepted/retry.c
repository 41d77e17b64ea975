// SPDX-License-Identifier: GPL-2.0-only
/* Until it is not in use any more. */
#include "types.h"

int f(struct dsm *dsm, point_box *box)
{
	struct point *p;

	for (;;) {
		p = dsm_box_borrow_mut(dsm, box, 0);
		if (p)
			break;
	}
	p->x++;
	return dsm_box_return_mut(dsm, box);
}
