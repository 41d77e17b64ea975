// SPDX-License-Identifier: GPL-2.0-only
/*
 * A reader cannot freeze.
 * rejected: releasing object 'ref' using exclusive access, expected shared access
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	if (!dsm_borrow(dsm, ref))
		return -1;
	return dsm_freeze(dsm, ref);
}
