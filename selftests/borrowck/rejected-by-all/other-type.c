// SPDX-License-Identifier: GPL-2.0-only
/*
 * A box knows the type of its object.
 * rejected: incompatible pointer types initializing 'struct node *' with an expression of type 'struct point *'
 */
#include "types.h"

int f(struct dsm *dsm, point_box *box)
{
	struct node *n = dsm_box_borrow_mut(dsm, box, 0);

	if (!n)
		return -1;
	n->value = 1;
	return dsm_box_return_mut(dsm, box);
}
