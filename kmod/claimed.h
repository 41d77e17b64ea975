/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_CLAIMED_H
#define DSM_CLAIMED_H

#include <linux/types.h>

struct dsm_chunk;
struct dsm_node;

bool dsm_claimed_reclaim(struct dsm_chunk *chunk, unsigned int i);
void dsm_claimed_sweep(struct dsm_node *node, u32 peer);

#endif /* DSM_CLAIMED_H */
