// SPDX-License-Identifier: GPL-2.0-only
/* A handle that is assigned to is still the object it was. */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref, const struct dsm_ref *other)
{
	if (!dsm_borrow(dsm, ref))
		return -1;
	*ref = *other;
	return dsm_return(dsm, ref);
}
