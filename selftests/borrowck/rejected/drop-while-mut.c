// SPDX-License-Identifier: GPL-2.0-only
/*
 * Freed while it is written.
 * rejected: cannot call function 'dsm_drop' while object 'ref' is held
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	if (!dsm_borrow_mut(dsm, ref, 0))
		return -1;
	if (dsm_drop(dsm, ref))
		return dsm_return_mut(dsm, ref);
	return 0;
}
