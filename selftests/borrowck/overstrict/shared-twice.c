// SPDX-License-Identifier: GPL-2.0-only
/*
 * A handle may be borrowed twice to read; use a copy of it.
 * rejected: acquiring object 'ref' that is already held
 */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref)
{
	if (!dsm_borrow(dsm, ref))
		return -1;
	if (dsm_borrow(dsm, ref))
		dsm_return(dsm, ref);
	return dsm_return(dsm, ref);
}
