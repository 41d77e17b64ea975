// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dropping a child is a change of the parent.
 * rejected: passing 'const struct dsm_ref *' to parameter of type 'struct dsm_ref *' discards qualifiers
 */
#include "types.h"

int f(struct dsm *dsm, const node_box *box)
{
	const struct node *n = dsm_box_borrow(dsm, box);

	if (!n)
		return -1;
	dsm_box_drop(dsm, &n->left);
	return dsm_box_return(dsm, box);
}
