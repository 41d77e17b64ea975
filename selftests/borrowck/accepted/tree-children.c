// SPDX-License-Identifier: GPL-2.0-only
/* Both children of a node that is written. */
#include "types.h"

int f(struct dsm *dsm, node_box *box)
{
	struct node *n = dsm_box_borrow_mut(dsm, box, 0), *left;
	const struct node *right;

	if (!n)
		return -1;
	left = dsm_box_borrow_mut(dsm, &n->left, 0);
	if (left) {
		right = dsm_box_borrow(dsm, &n->right);
		if (right) {
			left->value = right->value;
			dsm_box_return(dsm, &n->right);
		}
		dsm_box_return_mut(dsm, &n->left);
	}
	return dsm_box_return_mut(dsm, box);
}
