/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_PING_H
#define DSM_PING_H

struct dsm_node;
struct dsm_ping_args;

int dsm_ping(struct dsm_node *node, struct dsm_ping_args *args);

#endif /* DSM_PING_H */
