/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_CLAIM_H
#define DSM_CLAIM_H

#include <linux/completion.h>
#include <linux/refcount.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include "session.h"

struct dsm_node;
struct dsm_region;

enum {
	DSM_CLAIM_READS = 64,		/* READs chained behind a compare-and-swap */
	DSM_CLAIM_MS = 4000,		/* a move is tried again for so long */
	DSM_CLAIM_TRIES = 16,		/* to replace older claims, in one go */
	DSM_CLAIM_AGAIN_MS = 200,	/* what nobody waits for, for ever */
	DSM_CLAIM_MAX = 16384,		/* of those, in all */
	DSM_CLAIM_BACKLOG = 1024,	/* of those; above that the caller waits */
};

/* What the device writes for us. */
struct dsm_claim_sample {
	u64 claim;
	u64 word;
};

/**
 * struct dsm_claim - our pending request for an object of a peer
 * @ref: owners: the table, each user
 * @region: that it belongs to; held
 * @object: its handle
 * @born: life of the peer in which we may have claimed
 * @drop: nothing was claimed before
 * @expect: what the last compare-and-swap will find, as far as we know
 * @to: what its claim shall be in the end
 * @work: brings that about; then the claim leaves the table
 * @sample: the claim before our last compare-and-swap, and the word after it
 *
 * One for each address: who comes second gets -EBUSY.
 */
struct dsm_claim {
	refcount_t ref;
	struct dsm_region *region;
	struct dsm_ref object;
	u64 born;
	bool drop;
	u64 expect;
	u64 to;
	struct delayed_work work;
	struct dsm_claim_sample *sample;
};

/**
 * struct dsm_claims - all of a node's pending requests
 * @table: by line of the range
 * @nr: how many
 * @wq: what is not awaited
 */
struct dsm_claims {
	struct xarray table;
	atomic_t nr;
	struct workqueue_struct *wq;
};

int dsm_claims_init(struct dsm_node *node);
void dsm_claims_stop(struct dsm_node *node);

int dsm_claim_take(struct dsm_region *region, const struct dsm_ref *ref,
		   unsigned int flags, struct page **pages, unsigned int offset,
		   struct dsm_claim **taken);
void dsm_claim_settle(struct dsm_claim *claim, bool taken);
int dsm_claim_check(struct dsm_region *region, const struct dsm_ref *ref);
int dsm_claim_drop(struct dsm_region *region, const struct dsm_ref *ref);

#endif /* DSM_CLAIM_H */
