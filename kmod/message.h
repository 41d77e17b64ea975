/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_MESSAGE_H
#define DSM_MESSAGE_H

#include <linux/completion.h>
#include <linux/workqueue.h>
#include <rdma/ib_verbs.h>
#include "wire.h"

struct dsm_session;

enum {
	DSM_CALLS = 16,			/* requests of ours that a peer answers at once */
	DSM_RECEIVES = 2 * DSM_CALLS + 8, /* its requests, its answers, some air */
	DSM_CONTROL_REQUESTS = 2 * DSM_CALLS + 8,
	DSM_CALL_TIMEOUT_MS = 6000,	/* until a peer must have answered */
};

/* A receive buffer; a request is handled in its work, then it is posted again. */
struct dsm_receive {
	struct ib_cqe cqe;
	struct dsm_session *session;
	struct work_struct work;
	dma_addr_t dma;
	struct dsm_wire_message *message;
};

/* A request of ours that waits for the peer's answer. */
struct dsm_call {
	u32 id;
	u16 type;
	bool busy;
	int error;
	struct completion done;
	struct dsm_wire_message *reply;
};

int dsm_session_call(struct dsm_session *session, enum dsm_wire_type type,
		     const void *payload, size_t len,
		     struct dsm_wire_message *reply, unsigned int timeout_ms);
int dsm_session_reply(struct dsm_session *session,
		      const struct dsm_wire_message *request, int error,
		      const void *payload, size_t len);
void dsm_session_refuse(struct dsm_session *session,
			const struct dsm_wire_message *request, int error,
			const char *why);
int dsm_receives_alloc(struct dsm_session *s);
int dsm_receives_post(struct dsm_session *s);
void dsm_receives_free(struct dsm_session *s);

#endif /* DSM_MESSAGE_H */
