// SPDX-License-Identifier: GPL-2.0-only
/* Calls on a box and on its handle go together. */
#include "types.h"

int f(struct dsm *dsm, point_box *box, point_box array[2])
{
	if (!dsm_box_borrow_mut(dsm, box, DSM_ACCEPT))
		return -1;
	if (dsm_return_mut(dsm, &box->ref))
		return -1;
	if (!dsm_borrow(dsm, &array[1].ref))
		return -1;
	return dsm_box_return(dsm, &array[1]);
}
