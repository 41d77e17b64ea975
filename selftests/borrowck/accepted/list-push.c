// SPDX-License-Identifier: GPL-2.0-only
/* A list: what a new node points to moves into it. */
#include "types.h"

int push(struct dsm *dsm, node_box *head, int value)
{
	node_box box;
	struct node *n = dsm_box_alloc(dsm, &box);

	if (!n)
		return -1;
	n->value = value;
	n->next = *head;
	if (dsm_box_return_mut(dsm, &box))
		return -1;
	*head = box;
	return 0;
}
