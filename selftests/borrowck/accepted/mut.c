// SPDX-License-Identifier: GPL-2.0-only
/* Write, of an object of one's own. */
#include "types.h"

int f(struct dsm *dsm)
{
	struct dsm_ref ref;
	void *p;

	if (!dsm_alloc(dsm, 64, &ref))
		return -1;
	if (dsm_return_mut(dsm, &ref))
		return -1;
	p = dsm_borrow_mut(dsm, &ref, DSM_DISCARD);
	if (p) {
		*(int *)p = 1;
		dsm_return_mut(dsm, &ref);
	}
	return dsm_drop(dsm, &ref);
}
