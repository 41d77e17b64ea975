// SPDX-License-Identifier: GPL-2.0-only
/* A tree: parents are borrowed exclusively down to what is written. */
#include "types.h"

int insert(struct dsm *dsm, node_box *box, int value)
{
	struct node *n;
	int err = 0;

	if (!box->ref.addr) {
		n = dsm_box_alloc(dsm, box);
		if (!n)
			return -1;
		n->value = value;
		return dsm_box_return_mut(dsm, box);
	}
	n = dsm_box_borrow_mut(dsm, box, 0);
	if (!n)
		return -1;
	if (value != n->value)
		err = insert(dsm, value < n->value ? &n->left : &n->right,
			     value);
	if (dsm_box_return_mut(dsm, box))
		return -1;
	return err;
}
