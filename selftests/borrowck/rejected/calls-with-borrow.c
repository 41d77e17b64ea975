// SPDX-License-Identifier: GPL-2.0-only
/*
 * The function wants its object not borrowed.
 * rejected: cannot call function 'erase' while object 'ref' is held
 */
#include "types.h"

int erase(struct dsm *dsm, struct dsm_ref *ref) DSM_EXCLUDES(ref);

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	if (!dsm_borrow(dsm, ref))
		return -1;
	erase(dsm, ref);
	return dsm_return(dsm, ref);
}
