// SPDX-License-Identifier: GPL-2.0-only
/* Freezing ends the borrow; where it failed there is still one. */
#include "types.h"

int f(struct dsm *dsm)
{
	struct dsm_ref ref;
	void *p = dsm_alloc(dsm, 1 << 20, &ref);

	if (!p)
		return -1;
	if (dsm_freeze(dsm, &ref)) {
		if (dsm_borrowed_mut(&ref, p))
			dsm_return_mut(dsm, &ref);
		dsm_drop(dsm, &ref);
		return -1;
	}
	if (!dsm_lookup(dsm, "frozen", 0, NULL))
		return -1;
	return dsm_publish(dsm, "mine", &ref);
}
