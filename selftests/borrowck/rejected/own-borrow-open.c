// SPDX-License-Identifier: GPL-2.0-only
/*
 * A borrow function of the program, whose caller forgets.
 * rejected: 'ref' is not held on every path through here
 */
#include "types.h"

const struct point *point_open(struct dsm *dsm, const struct dsm_ref *ref)
	DSM_BORROWS(ref);

int f(struct dsm *dsm, const struct dsm_ref *ref)
{
	const struct point *p = point_open(dsm, ref);

	if (!p)
		return -1;
	return p->x;
}
