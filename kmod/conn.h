/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_CONN_H
#define DSM_CONN_H

#include <linux/completion.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>
#include "wire.h"

struct dsm_session;

enum {
	DSM_DATA_REQUESTS = 256,	/* one-sided requests in flight on a connection */
	DSM_CM_TIMEOUT_MS = 2000,	/* each step of connecting */
	DSM_ACK_TIMEOUT = 16,		/* 4.096 us * 2^16; with the retries 1.9 s */
	DSM_RNR_TIMER = 12,		/* 0.64 ms until a receive is tried again */
	DSM_RETRIES = 6,		/* 7 would be for ever on some devices */
};

/**
 * struct dsm_conn - one queue pair of a session
 * @session: that it belongs to
 * @index: 0: control
 * @id: rdma_cm id, owner of the queue pair; set when the session owns it
 * @qp: the queue pair
 * @cq: completions of both queues
 * @free: requests that the send queue still takes
 * @event: completed at each step of connecting
 * @step: event of that step
 * @status: its status, as the connection manager gives it
 * @reply: private data of the peer's acceptance
 * @established: the queue pair works
 */
struct dsm_conn {
	struct dsm_session *session;
	unsigned int index;
	struct rdma_cm_id *id;
	struct ib_qp *qp;
	struct ib_cq *cq;
	atomic_t free;
	struct completion event;
	enum rdma_cm_event_type step;
	int status;
	struct dsm_wire_accept reply;
	bool established;
};

int dsm_conn_connect(struct dsm_conn *conn, const struct sockaddr_storage *from,
		     const struct sockaddr_storage *to,
		     const struct dsm_wire_open *open);
int dsm_conn_accept(struct dsm_conn *conn, struct rdma_cm_id *id,
		    const struct dsm_wire_accept *accept);
void dsm_conn_destroy_qp(struct dsm_conn *conn, struct rdma_cm_id *id);
int dsm_conn_reserve(struct dsm_conn *conn, int requests, bool wait);
void dsm_conn_release(struct dsm_conn *conn, unsigned int requests);

#endif /* DSM_CONN_H */
