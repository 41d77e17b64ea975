// SPDX-License-Identifier: GPL-2.0-only
/*
 * The function wants its object borrowed.
 * rejected: calling function 'sum' requires holding object 'box->ref'
 */
#include "types.h"

int sum(const struct point *p, const struct dsm_ref *ref) DSM_REQUIRES(ref);

int f(const struct point *p, const point_box *box)
{
	return sum(p, &box->ref);
}
