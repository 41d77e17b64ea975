// SPDX-License-Identifier: GPL-2.0-only
/* A box of a type without a DSM_BOX_TYPE() still works. */
#include "types.h"

int f(struct dsm *dsm)
{
	DSM_BOX(long) box;
	long *p = dsm_box_alloc(dsm, &box);

	if (!p)
		return -1;
	*p = 1;
	return dsm_box_return_mut(dsm, &box);
}
