// SPDX-License-Identifier: GPL-2.0-only
/*
 * The function wants its object borrowed exclusively.
 * rejected: calling function 'move' requires holding object 'ref' exclusively
 */
#include "types.h"

void move(struct point *p, struct dsm_ref *ref) DSM_REQUIRES_MUT(ref);

int f(struct dsm *dsm, struct point *p, struct dsm_ref *ref)
{
	if (!dsm_borrow(dsm, ref))
		return -1;
	move(p, ref);
	return dsm_return(dsm, ref);
}
