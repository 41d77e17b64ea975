// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test of the borrow is the wrong way round.
 * rejected: releasing object 'ref' that was not held
 * rejected: 'ref' is not held on every path through here
 */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref)
{
	const void *p = dsm_borrow(dsm, ref);

	if (!p)
		return dsm_return(dsm, ref);
	return -1;
}
