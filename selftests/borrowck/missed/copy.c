// SPDX-License-Identifier: GPL-2.0-only
/* So are a handle and its copy. */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	struct dsm_ref copy = *ref;

	if (!dsm_borrow(dsm, ref))
		return -1;
	dsm_drop(dsm, &copy);
	return dsm_return(dsm, ref);
}
