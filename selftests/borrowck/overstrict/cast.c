// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nor into a cast; this is what typed boxes are for.
 * rejected: releasing object 'ref' that was not held
 */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref)
{
	const struct point *p = (const struct point *)dsm_borrow(dsm, ref);

	if (!p)
		return -1;
	return dsm_return(dsm, ref);
}
