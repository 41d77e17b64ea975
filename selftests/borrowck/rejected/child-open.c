// SPDX-License-Identifier: GPL-2.0-only
/*
 * A child of a tree is still borrowed.
 * rejected: 'n->left.ref' is not held on every path through here
 */
#include "types.h"

int f(struct dsm *dsm, const node_box *box)
{
	const struct node *n = dsm_box_borrow(dsm, box);

	if (!n)
		return -1;
	if (!dsm_box_borrow(dsm, &n->left)) {
		dsm_box_return(dsm, box);
		return -1;
	}
	return dsm_box_return(dsm, box);
}
