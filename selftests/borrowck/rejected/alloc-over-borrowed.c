// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handle of a borrowed object is overwritten.
 * rejected: acquiring object 'ref' that is already held
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	if (!dsm_alloc(dsm, 64, ref))
		return -1;
	if (!dsm_alloc(dsm, 64, ref))
		return -1;
	return dsm_return_mut(dsm, ref);
}
