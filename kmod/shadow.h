/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_SHADOW_H
#define DSM_SHADOW_H

#include <linux/mm_types.h>
#include <linux/types.h>

struct dsm_copy;
struct dsm_ref;
struct dsm_region;

/**
 * struct dsm_shadow - a page of the ledger window over a peer's partition
 * @page: words: LIVE(v) where exactly version v is cached here, else 0
 * @copies: that have words in it
 *
 * It is freed, under dsm_region.window, when there are none.
 */
struct dsm_shadow {
	struct page *page;
	atomic_t copies;
};

void dsm_shadow_detach(struct dsm_copy *copy);
void dsm_shadows_free(struct dsm_region *region);

int dsm_shadow_fetch(struct dsm_region *region, const struct dsm_ref *refs,
		     unsigned int nr, s32 *errors, bool wait);

#endif /* DSM_SHADOW_H */
