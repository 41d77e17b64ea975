// SPDX-License-Identifier: GPL-2.0-only
/*
 * Another object than the one that was borrowed is returned.
 * rejected: releasing object 'b' that was not held
 * rejected: 'a' is not held on every path through here
 */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *a, const struct dsm_ref *b)
{
	if (!dsm_borrow(dsm, a))
		return -1;
	return dsm_return(dsm, b);
}
