// SPDX-License-Identifier: GPL-2.0-only
/*
 * A shared borrow ended as an exclusive one.
 * rejected: releasing object 'box->ref' using exclusive access, expected shared access
 */
#include "types.h"

int f(struct dsm *dsm, point_box *box)
{
	if (!dsm_box_borrow(dsm, box))
		return -1;
	return dsm_box_return_mut(dsm, box);
}
