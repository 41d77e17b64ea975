/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_MR_H
#define DSM_MR_H

#include <rdma/ib_verbs.h>

struct dsm_node;

enum { DSM_MR_MAX_PAGES = 512 };

/**
 * struct dsm_mr - pages that peers may reach
 * @mr: NULL: not registered
 * @sg: the pages, mapped for the device
 * @pages: how many
 */
struct dsm_mr {
	struct ib_mr *mr;
	struct scatterlist *sg;
	unsigned int pages;
};

int dsm_mr_register(struct dsm_node *node, struct dsm_mr *mr, struct page **pages,
		    unsigned int nr, int access);
void dsm_mr_unregister(struct dsm_node *node, struct dsm_mr *mr);

#endif /* DSM_MR_H */
