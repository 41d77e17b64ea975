// SPDX-License-Identifier: GPL-2.0-only
/* Written, returned, given away; and the other end. */
#include "types.h"

int give(struct dsm *dsm)
{
	point_box box;
	struct point *p = dsm_box_alloc(dsm, &box);

	if (!p)
		return -1;
	p->x = 1;
	if (dsm_box_return_mut(dsm, &box))
		return -1;
	return dsm_publish(dsm, "point", &box.ref);
}

int look(struct dsm *dsm)
{
	point_box box;
	const struct point *p;
	int x;

	if (!dsm_lookup(dsm, "point", 1000, &box.ref))
		return -1;
	p = dsm_box_borrow(dsm, &box);
	if (!p)
		return -1;
	x = p->x;
	return dsm_box_return(dsm, &box) ? -1 : x;
}

int take(struct dsm *dsm)
{
	point_box box;

	if (dsm_take(dsm, "point", 0, &box.ref))
		return -1;
	return dsm_box_drop(dsm, &box);
}
