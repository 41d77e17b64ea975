// SPDX-License-Identifier: GPL-2.0-only
/*
 * One borrow, returned twice.
 * rejected: releasing object 'ref' that was not held
 */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref)
{
	if (!dsm_borrow(dsm, ref))
		return -1;
	dsm_return(dsm, ref);
	return dsm_return(dsm, ref);
}
