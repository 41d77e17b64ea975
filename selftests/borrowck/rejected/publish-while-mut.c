// SPDX-License-Identifier: GPL-2.0-only
/*
 * Given away while it is written.
 * rejected: cannot call function 'dsm_publish' while object 'ref' is held
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	if (!dsm_alloc(dsm, 64, ref))
		return -1;
	dsm_publish(dsm, "object", ref);
	return dsm_return_mut(dsm, ref);
}
