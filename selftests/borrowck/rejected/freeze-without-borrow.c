// SPDX-License-Identifier: GPL-2.0-only
/*
 * Only who writes an object can freeze it.
 * rejected: releasing object 'ref' that was not held
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	return dsm_freeze(dsm, ref);
}
