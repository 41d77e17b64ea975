// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handle of a borrowed object is overwritten.
 * rejected: cannot call function 'dsm_alloc_on' while object 'ref' is held
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	if (!dsm_borrow(dsm, ref))
		return -1;
	dsm_alloc_on(dsm, 1, 64, ref);
	return dsm_return(dsm, ref);
}
