// SPDX-License-Identifier: GPL-2.0-only
/*
 * Freed while it is read.
 * rejected: cannot call function 'dsm_drop' while object 'box->ref' is held
 */
#include "types.h"

int f(struct dsm *dsm, point_box *box)
{
	if (!dsm_box_borrow(dsm, box))
		return -1;
	dsm_box_drop(dsm, box);
	return dsm_box_return(dsm, box);
}
