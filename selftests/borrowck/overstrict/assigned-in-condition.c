// SPDX-License-Identifier: GPL-2.0-only
/*
 * The check does not look into an assignment.
 * rejected: releasing object 'ref' that was not held
 */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref)
{
	const void *p;

	if (!(p = dsm_borrow(dsm, ref)))
		return -1;
	return dsm_return(dsm, ref);
}
