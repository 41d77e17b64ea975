/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_FETCH_H
#define DSM_FETCH_H

#include <linux/types.h>

struct dsm_copy;
struct dsm_want;

int dsm_fetch_post(struct dsm_copy **copies, unsigned int nr,
		   const struct dsm_want *want, bool wait);

#endif /* DSM_FETCH_H */
