// SPDX-License-Identifier: GPL-2.0-only
/*
 * One exclusive borrow, returned twice on one path.
 * rejected: releasing object 'ref' that was not held
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref, int done)
{
	if (!dsm_borrow_mut(dsm, ref, 0))
		return -1;
	if (done)
		dsm_return_mut(dsm, ref);
	return dsm_return_mut(dsm, ref);
}
