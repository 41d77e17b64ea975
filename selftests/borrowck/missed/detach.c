// SPDX-License-Identifier: GPL-2.0-only
/* The attachment goes, with a borrow open. */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref)
{
	if (!dsm_borrow(dsm, ref))
		return -1;
	dsm_detach(dsm);
	return dsm_return(dsm, ref);
}
