// SPDX-License-Identifier: GPL-2.0-only
/*
 * To write a child, its parent must be borrowed exclusively.
 * rejected: passing 'const struct dsm_ref *' to parameter of type 'struct dsm_ref *' discards qualifiers
 */
#include "types.h"

int f(struct dsm *dsm, const node_box *box)
{
	const struct node *n = dsm_box_borrow(dsm, box);

	if (!n)
		return -1;
	if (dsm_box_borrow_mut(dsm, &n->left, 0))
		dsm_return(dsm, &n->left.ref);
	return dsm_box_return(dsm, box);
}
