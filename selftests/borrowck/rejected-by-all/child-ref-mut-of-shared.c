// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same without boxes.
 * rejected: passing 'const struct dsm_ref *' to parameter of type 'struct dsm_ref *' discards qualifiers
 */
#include "types.h"

struct list {
	struct dsm_ref next;
};

int f(struct dsm *dsm, const struct list *list)
{
	return dsm_borrow_mut(dsm, &list->next, 0) ? 0 : -1;
}
