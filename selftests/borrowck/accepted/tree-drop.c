// SPDX-License-Identifier: GPL-2.0-only
/* A tree is dropped from its leaves on. */
#include "types.h"

int drop(struct dsm *dsm, node_box *box)
{
	struct node *n;
	int err;

	if (!box->ref.addr)
		return 0;
	n = dsm_box_borrow_mut(dsm, box, 0);
	if (!n)
		return -1;
	err = drop(dsm, &n->left);
	if (!err)
		err = drop(dsm, &n->right);
	if (dsm_box_return_mut(dsm, box) || err)
		return -1;
	return dsm_box_drop(dsm, box);
}
