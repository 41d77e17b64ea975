// SPDX-License-Identifier: GPL-2.0-only
/*
 * The left child was borrowed, the right one is returned.
 * rejected: releasing object 'n->right.ref' that was not held
 * rejected: 'n->left.ref' is not held on every path through here
 */
#include "types.h"

int f(struct dsm *dsm, node_box *box)
{
	struct node *n = dsm_box_borrow_mut(dsm, box, 0);

	if (!n)
		return -1;
	if (dsm_box_borrow_mut(dsm, &n->left, 0))
		dsm_box_return_mut(dsm, &n->right);
	return dsm_box_return_mut(dsm, box);
}
