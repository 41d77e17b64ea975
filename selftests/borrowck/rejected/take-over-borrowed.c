// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handle of a borrowed object is overwritten.
 * rejected: cannot call function 'dsm_take' while object 'ref' is held
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	if (!dsm_borrow(dsm, ref))
		return -1;
	if (dsm_take(dsm, "other", 0, ref))
		return -1;
	return dsm_return(dsm, ref);
}
