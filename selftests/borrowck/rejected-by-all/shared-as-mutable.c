// SPDX-License-Identifier: GPL-2.0-only
/*
 * A shared borrow loses its const.
 * rejected: initializing 'struct point *' with an expression of type 'const struct point *' discards qualifiers
 */
#include "types.h"

int f(struct dsm *dsm, const point_box *box)
{
	struct point *p = dsm_box_borrow(dsm, box);

	if (!p)
		return -1;
	return dsm_box_return(dsm, box);
}
