// SPDX-License-Identifier: GPL-2.0-only
/*
 * A new child is a change of the parent.
 * rejected: passing 'const struct dsm_ref *' to parameter of type 'struct dsm_ref *' discards qualifiers
 */
#include "types.h"

int f(struct dsm *dsm, const struct node *n)
{
	return dsm_box_alloc(dsm, &n->left) ? 0 : -1;
}
