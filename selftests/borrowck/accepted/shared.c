// SPDX-License-Identifier: GPL-2.0-only
/* Read. */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref, int *x)
{
	const void *p = dsm_borrow(dsm, ref);

	if (!p)
		return -1;
	*x = *(const int *)p;
	return dsm_return(dsm, ref);
}
