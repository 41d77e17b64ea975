/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_OBJECT_H
#define DSM_OBJECT_H

#include <linux/types.h>

struct dsm_chunk;
struct dsm_ref;
struct dsm_region;

int dsm_object_alloc(struct dsm_region *region, struct dsm_ref *ref, unsigned long end);
bool dsm_objects_leave(struct dsm_chunk *chunk);
int dsm_object_take(struct dsm_region *region, const struct dsm_ref *ref,
		    unsigned int flags);
void dsm_object_end(struct dsm_region *region, struct dsm_ref *ref);
void dsm_object_poison(struct dsm_region *region, const struct dsm_ref *ref);
void dsm_object_freeze(struct dsm_region *region, struct dsm_ref *ref);
void dsm_object_free(struct dsm_region *region, const struct dsm_ref *ref);
int dsm_object_share(struct dsm_region *region, const struct dsm_ref *ref);
void dsm_object_unshare(struct dsm_region *region, const struct dsm_ref *ref);
int dsm_object_check(struct dsm_region *region, const struct dsm_ref *ref);

#endif /* DSM_OBJECT_H */
