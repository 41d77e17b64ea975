// SPDX-License-Identifier: GPL-2.0-only
/*
 * Given away while it is read: who takes the name may write.
 * rejected: cannot call function 'dsm_publish' while object 'ref' is held
 */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref)
{
	if (!dsm_borrow(dsm, ref))
		return -1;
	dsm_publish(dsm, "object", ref);
	return dsm_return(dsm, ref);
}
