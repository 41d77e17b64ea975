// SPDX-License-Identifier: GPL-2.0-only
/* An object of another node is not born borrowed. */
#include "types.h"

int f(struct dsm *dsm, unsigned int node)
{
	point_box box;
	struct point *p;

	if (dsm_alloc_on(dsm, node, sizeof(*p), &box.ref))
		return -1;
	p = dsm_box_borrow_mut(dsm, &box, DSM_DISCARD);
	if (p) {
		p->x = 1;
		dsm_box_return_mut(dsm, &box);
	}
	return dsm_box_drop(dsm, &box);
}
