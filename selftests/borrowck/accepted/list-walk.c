// SPDX-License-Identifier: GPL-2.0-only
/* A list, one node at a time: the handle of the next is copied. */
#include "types.h"

int f(struct dsm *dsm, const node_box *head, long *total)
{
	node_box at = *head, next;

	while (at.ref.addr) {
		const struct node *n = dsm_box_borrow(dsm, &at);

		if (!n)
			return -1;
		*total += n->value;
		next = n->next;
		if (dsm_box_return(dsm, &at))
			return -1;
		at = next;
	}
	return 0;
}
