// SPDX-License-Identifier: GPL-2.0-only
/* A tree: children are borrowed while their parent is. */
#include "types.h"

static int sum(struct dsm *dsm, const node_box *box, long *total)
{
	const struct node *n;
	int err;

	if (!box->ref.addr)
		return 0;
	n = dsm_box_borrow(dsm, box);
	if (!n)
		return -1;
	*total += n->value;
	err = sum(dsm, &n->left, total);
	if (!err)
		err = sum(dsm, &n->right, total);
	if (dsm_box_return(dsm, box))
		return -1;
	return err;
}

long f(struct dsm *dsm, const node_box *root)
{
	long total = 0;

	return sum(dsm, root, &total) ? -1 : total;
}
