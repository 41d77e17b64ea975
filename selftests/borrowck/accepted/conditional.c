// SPDX-License-Identifier: GPL-2.0-only
/* A borrow on some paths, returned on just those. */
#include "types.h"

int f(struct dsm *dsm, point_box *box, int write)
{
	if (write) {
		struct point *p = dsm_box_borrow_mut(dsm, box, 0);

		if (p) {
			p->x = write;
			dsm_box_return_mut(dsm, box);
		}
	} else {
		const struct point *p = dsm_box_borrow(dsm, box);

		if (!p)
			return -1;
		write = p->x;
		if (dsm_box_return(dsm, box))
			return -1;
	}
	return write;
}
