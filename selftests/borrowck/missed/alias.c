// SPDX-License-Identifier: GPL-2.0-only
/* Two spellings of one handle are two objects to the check. */
#include "types.h"

int f(struct dsm *dsm, struct dsm_ref *ref)
{
	struct dsm_ref *same = ref;

	if (!dsm_borrow(dsm, ref))
		return -1;
	if (dsm_borrow_mut(dsm, same, 0))
		dsm_return_mut(dsm, same);
	return dsm_return(dsm, ref);
}
