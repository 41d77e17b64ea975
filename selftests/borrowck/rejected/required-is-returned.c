// SPDX-License-Identifier: GPL-2.0-only
/*
 * The caller has borrowed, but this function returns it.
 * rejected: 'ref' to be held at the end of function
 */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref) DSM_REQUIRES_MUT(ref);

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	return dsm_return_mut(dsm, ref);
}
