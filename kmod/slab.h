/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_SLAB_H
#define DSM_SLAB_H

#include <linux/types.h>

struct dsm_chunk;
struct dsm_ref;
struct dsm_region;

bool dsm_slabs_leave(struct dsm_chunk *chunk);
int dsm_slab_get(struct dsm_region *region, const void *owner, unsigned int lines,
		 u64 *addr);
int dsm_slab_alloc(struct dsm_region *region, struct dsm_ref *ref);
int dsm_slab_move(struct dsm_region *region, const struct dsm_ref *ref,
		  unsigned int flags, u64 to);
void dsm_slabs_disown(struct dsm_region *region, const void *owner);

#endif /* DSM_SLAB_H */
