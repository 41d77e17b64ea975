// SPDX-License-Identifier: GPL-2.0-only
/*
 * An error path forgets to return the borrow.
 * rejected: 'ref' is not held on every path through here
 */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref, int early)
{
	const void *p = dsm_borrow(dsm, ref);

	if (!p)
		return -1;
	if (early)
		return -2;
	return dsm_return(dsm, ref);
}
