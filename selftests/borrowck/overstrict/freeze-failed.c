// SPDX-License-Identifier: GPL-2.0-only
/*
 * After a dsm_freeze() that failed: see dsm_borrowed_mut().
 * rejected: releasing object 'ref' that was not held
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	if (!dsm_alloc(dsm, 1 << 20, ref))
		return -1;
	if (dsm_freeze(dsm, ref))
		return dsm_return_mut(dsm, ref);
	return 0;
}
