// SPDX-License-Identifier: GPL-2.0-only
/*
 * The check knows !p, not the cast that NULL is in C.
 * rejected: releasing object 'ref' that was not held
 */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref)
{
	const void *p = dsm_borrow(dsm, ref);

	if (p == NULL)
		return -1;
	return dsm_return(dsm, ref);
}
