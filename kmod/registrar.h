/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_REGISTRAR_H
#define DSM_REGISTRAR_H

#include <linux/list.h>
#include <linux/mutex.h>
#include "wire.h"

struct dsm_node;

enum {
	DSM_MAX_REGIONS = 4096,		/* a registrar keeps */
	DSM_MAX_NAMES = 65536,		/* a region has */
	DSM_ID_NODE_SHIFT = 56,		/* a region's id tells its registrar */
};

/**
 * struct dsm_registrar - the regions that this node keeps the records of
 * @lock: protects all of it
 * @records: in the order of their ids
 * @nr: how many
 * @last_id: of the last region made
 */
struct dsm_registrar {
	struct mutex lock;	/* all of it */
	struct list_head records;
	unsigned int nr;
	u64 last_id;
};

void dsm_registrar_init(struct dsm_node *node);
void dsm_registrar_free(struct dsm_node *node);
u32 dsm_registrar_of(const struct dsm_node *node, const char *name);

int dsm_registrar_region(struct dsm_node *node, enum dsm_wire_type type,
			 const struct dsm_wire_region *in, struct dsm_wire_region *out);
int dsm_registrar_name(struct dsm_node *node, u32 from, enum dsm_wire_type type,
		       const struct dsm_wire_name *in, struct dsm_wire_name *out);

int dsm_registrar_ask_region(struct dsm_node *node, u32 registrar,
			     enum dsm_wire_type type,
			     const struct dsm_wire_region *in,
			     struct dsm_wire_region *out);
int dsm_registrar_ask_name(struct dsm_node *node, u32 registrar,
			   enum dsm_wire_type type,
			   const struct dsm_wire_name *in, struct dsm_wire_name *out);

#endif /* DSM_REGISTRAR_H */
