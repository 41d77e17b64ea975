// SPDX-License-Identifier: GPL-2.0-only
/* Each failure returns what was borrowed until then. */
#include "types.h"

int f(struct dsm *dsm, const point_box *from, point_box *to)
{
	const struct point *src;
	struct point *dst;
	int ret = -1;

	src = dsm_box_borrow(dsm, from);
	if (!src)
		return -1;
	dst = dsm_box_borrow_mut(dsm, to, 0);
	if (!dst)
		goto out_return;
	if (src->x < 0)
		goto out_return_mut;
	*dst = *src;
	ret = 0;
out_return_mut:
	dsm_box_return_mut(dsm, to);
out_return:
	dsm_box_return(dsm, from);
	return ret;
}
