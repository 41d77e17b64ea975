// SPDX-License-Identifier: GPL-2.0-only
/*
 * An exclusive borrow whose result is ignored stays open.
 * rejected: ignoring return value of function declared with 'warn_unused_result' attribute
 */
#include "types.h"

void f(struct dsm *dsm, struct dsm_ref *ref)
{
	dsm_alloc(dsm, 64, ref);
}
