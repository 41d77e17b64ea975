/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_GRANT_H
#define DSM_GRANT_H

#include <linux/interval_tree.h>
#include <linux/rwsem.h>
#include <linux/dsm.h>

struct dsm_region;
struct dsm_want;

/**
 * struct dsm_grants - the large objects that a process has borrowed
 * @lock: read: to map a page as a grant allows; write: to change them
 * @tree: by pages of the range
 */
struct dsm_grants {
	struct rw_semaphore lock;	/* tree */
	struct rb_root_cached tree;
};

/**
 * struct dsm_grant - the right of a process to map a large object
 * @it: its pages
 * @ref: handle of the borrowed version
 * @excl: writable
 * @count: shared borrows
 */
struct dsm_grant {
	struct interval_tree_node it;
	struct dsm_ref ref;
	bool excl;
	unsigned int count;
};

void dsm_grants_init(struct dsm_grants *grants);
void dsm_grants_end(struct dsm_grants *grants, struct dsm_region *region);

int dsm_grant_alloc(struct dsm_grants *grants, struct dsm_region *region,
		    struct dsm_ref *ref);
int dsm_grant_borrow(struct dsm_grants *grants, struct dsm_region *region,
		     struct dsm_ref *ref, unsigned int flags);
int dsm_grant_return(struct dsm_grants *grants, struct dsm_region *region,
		     struct dsm_ref *ref, bool excl);
int dsm_grant_freeze(struct dsm_grants *grants, struct dsm_region *region,
		     struct dsm_ref *ref);
bool dsm_grant_want(struct dsm_grants *grants, pgoff_t pgoff, struct dsm_want *want);
void dsm_grant_prefetch(struct dsm_grants *grants, struct dsm_region *region,
			const struct dsm_ref *ref);
const struct dsm_grant *dsm_grant_find(struct dsm_grants *grants, pgoff_t pgoff);

#endif /* DSM_GRANT_H */
