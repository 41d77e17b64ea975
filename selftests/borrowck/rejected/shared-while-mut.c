// SPDX-License-Identifier: GPL-2.0-only
/*
 * Read while it is written.
 * rejected: acquiring object 'ref' that is already held
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	if (!dsm_borrow_mut(dsm, ref, 0))
		return -1;
	if (dsm_borrow(dsm, ref))
		dsm_return(dsm, ref);
	return dsm_return_mut(dsm, ref);
}
