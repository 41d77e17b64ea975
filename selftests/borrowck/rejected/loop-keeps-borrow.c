// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each round borrows again, none returns.
 * rejected: 'ref' to be held at start of each loop
 */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref, int n)
{
	while (n-- > 0) {
		if (!dsm_borrow(dsm, ref))
			return -1;
	}
	return 0;
}
