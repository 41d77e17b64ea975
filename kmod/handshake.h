/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_HANDSHAKE_H
#define DSM_HANDSHAKE_H

struct dsm_link;
struct dsm_node;
struct dsm_session;
struct dsm_wire_message;
struct rdma_cm_event;
struct rdma_cm_id;

int dsm_handshake_connect(struct dsm_link *link, struct dsm_session *s);
int dsm_handshake_accept(struct dsm_node *node, struct rdma_cm_id *id,
			 const struct rdma_cm_event *event);
int dsm_handshake_finish(struct dsm_session *s);
void dsm_handshake_answer(struct dsm_session *s, int err);
void dsm_handshake_request(struct dsm_session *s,
			   const struct dsm_wire_message *message);

#endif /* DSM_HANDSHAKE_H */
