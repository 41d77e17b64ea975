// SPDX-License-Identifier: GPL-2.0-only
/*
 * A box of another type is not a child.
 * rejected: assigning to 'node_box' from incompatible type 'const point_box'
 */
#include "types.h"

void f(struct node *n, const point_box *box)
{
	n->left = *box;
}
