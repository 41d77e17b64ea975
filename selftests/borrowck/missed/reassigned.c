// SPDX-License-Identifier: GPL-2.0-only
/* One spelling is one object, though the pointer has changed. */
#include "types.h"

int f(struct dsm *dsm, const node_box *box)
{
	const struct node *n = dsm_box_borrow(dsm, box);

	if (!n)
		return -1;
	box = &n->next;
	return dsm_box_return(dsm, box);
}
