/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_DIR_H
#define DSM_DIR_H

#include <linux/bitmap.h>
#include <linux/mutex.h>
#include "mr.h"
#include "wire.h"

struct dsm_link;
struct dsm_node;
struct dsm_region;
struct dsm_session;

enum {
	DSM_CHUNK_PAGES = DSM_CHUNK_SIZE / PAGE_SIZE,
	DSM_DIR_PAGE_ENTRIES = PAGE_SIZE / sizeof(struct dsm_wire_chunk),
	DSM_DIR_SEGMENT_ENTRIES = DSM_MR_MAX_PAGES * DSM_DIR_PAGE_ENTRIES,
	DSM_DIR_MAX_ENTRIES = DSM_WIRE_SEGMENTS * DSM_DIR_SEGMENT_ENTRIES,
};

/**
 * struct dsm_dir - a node's own chunk directory, which peers READ
 * @pages: entries, in order
 * @nr_pages: at least DSM_PING_MAX_BYTES of them
 * @mr: registrations, one a segment
 * @generation: of the last entry written
 */
struct dsm_dir {
	struct page **pages;
	unsigned int nr_pages;
	struct dsm_mr mr[DSM_WIRE_SEGMENTS];
	u32 generation;
};

/* What a peer's chunk is, and where for one-sided requests. */
struct dsm_far_keys {
	u8 kind;
	u64 born;
	u64 payload_addr;
	u64 ledger_addr;
	u64 claims_addr;
	u32 payload_key;
	u32 ledger_key;
	u32 claims_key;
};

/**
 * struct dsm_far - a peer's chunk, as its directory entry said
 * @lock: protects all but @users and @frozen; held while the entry is READ
 * @users: who use keys of it now; rises under @lock
 * @serial: session that it was READ in; the keys are good for no other
 * @valid: there is a chunk
 * @region: that it belongs to
 * @keys: what it is and where
 * @frozen: pages known to be frozen in this life of the chunk; bits are set
 *	    without @lock, cleared under it when no fetch is under way
 */
struct dsm_far {
	struct mutex lock;	/* all but users and frozen */
	atomic_t users;
	u32 serial;
	bool valid;
	u64 region;
	struct dsm_far_keys keys;
	DECLARE_BITMAP(frozen, DSM_CHUNK_PAGES);
};

int dsm_dir_alloc(struct dsm_node *node, unsigned int entries);
void dsm_dir_free(struct dsm_node *node);
void dsm_dir_hello(const struct dsm_node *node, struct dsm_wire_hello *hello);
bool dsm_dir_recall(struct dsm_node *node, u64 region, u32 first, u32 nr, bool cut);
void dsm_dir_write(struct dsm_node *node, unsigned int index,
		   const struct dsm_wire_chunk *entry);

struct dsm_far *dsm_dir_find(struct dsm_link *link, struct dsm_session *session,
			     unsigned int index, const struct dsm_region *region,
			     bool wait, struct dsm_far_keys *keys);
void dsm_far_put(struct dsm_far *far);
void dsm_dir_revoke(struct dsm_link *link, u64 region, u32 first, u32 nr);
void dsm_dir_forget_peer(struct dsm_link *link);

#endif /* DSM_DIR_H */
