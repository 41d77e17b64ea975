// SPDX-License-Identifier: GPL-2.0-only
/*
 * A return of what was not borrowed.
 * rejected: releasing object 'ref' that was not held
 */
#include "types.h"

int f(struct dsm *dsm, const struct dsm_ref *ref)
{
	return dsm_return(dsm, ref);
}
