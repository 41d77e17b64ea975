// SPDX-License-Identifier: GPL-2.0-only
/* The parent is returned before its child. */
#include "types.h"

int f(struct dsm *dsm, node_box *box)
{
	struct node *n = dsm_box_borrow_mut(dsm, box, 0);

	if (!n)
		return -1;
	if (!dsm_box_borrow_mut(dsm, &n->left, 0))
		return dsm_box_return_mut(dsm, box);
	dsm_box_return_mut(dsm, box);
	return dsm_box_return_mut(dsm, &n->left);
}
