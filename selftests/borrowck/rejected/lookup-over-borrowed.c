// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handle of a borrowed object is overwritten.
 * rejected: cannot call function 'dsm_lookup' while object 'ref' is held
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	const void *p;

	if (!dsm_borrow(dsm, ref))
		return -1;
	p = dsm_lookup(dsm, "other", 0, ref);
	dsm_return(dsm, ref);
	return p ? 0 : -1;
}
