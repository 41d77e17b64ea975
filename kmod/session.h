/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_SESSION_H
#define DSM_SESSION_H

#include <linux/completion.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>
#include "auth.h"
#include "wire.h"

struct dsm_node;
struct dsm_session;

enum {
	DSM_CONNS = 3,			/* 0: control, others: one-sided requests */
	DSM_CALLS = 16,			/* requests of ours that a peer answers at once */
	DSM_RECEIVES = 2 * DSM_CALLS + 8, /* its requests, its answers, some air */
	DSM_CONTROL_REQUESTS = 2 * DSM_CALLS + 8,
	DSM_DATA_REQUESTS = 256,	/* one-sided requests in flight on a connection */
	DSM_OP_REQUESTS = 2,		/* most that one operation chains */
	DSM_READ_PAGES = 16,		/* most that one READ scatters */
	DSM_READS_IN_FLIGHT = 16,	/* asked of the device of each side */
	DSM_CM_TIMEOUT_MS = 2000,	/* each step of connecting */
	DSM_CALL_TIMEOUT_MS = 6000,	/* until a peer must have answered */
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
	bool busy;
	int error;
	struct completion done;
	struct dsm_wire_message *reply;
};

enum dsm_session_flags {
	DSM_SESSION_FAILED,	/* use no more; the link's work closes it */
	DSM_SESSION_TRUSTED,	/* the peer knows the cluster key */
	DSM_SESSION_READY,	/* passive: the active side has all it needs */
	DSM_SESSION_CONN,	/* and up: connection taken by a request of the peer */
};

/**
 * struct dsm_session - one life of a link: connected, proved, used, closed
 * @node: that we are
 * @owner: the link, for the two callbacks
 * @changed: called when it fails or may be ready, any context
 * @request: called for each request of the peer, process context
 * @active: we connected
 * @flags: enum dsm_session_flags
 * @serial: distinguishes this session of its link from earlier ones
 * @deadline: jiffies until which it must be up
 * @users: operations and handlers that use it, and one of the owner's; it is
 *	   taken apart when none is left
 * @idle: completed by the last user
 * @auth: what the proofs are about
 * @hello: what the peer told of itself
 * @conn: its connections
 * @receives: buffers of the control connection
 * @calls: requests of ours under way
 * @lock: protects @calls; taken in softirq
 * @room: woken when a call slot or a send request becomes free
 * @rcu: readers find it through the link
 */
struct dsm_session {
	struct dsm_node *node;
	void *owner;
	void (*changed)(struct dsm_session *session);
	void (*request)(struct dsm_session *session,
			const struct dsm_wire_message *message);
	bool active;
	unsigned long flags;
	u32 serial;
	unsigned long deadline;
	refcount_t users;
	struct completion idle;
	struct dsm_auth auth;
	struct dsm_wire_hello hello;
	struct dsm_conn conn[DSM_CONNS];
	struct dsm_receive *receives;
	struct dsm_call calls[DSM_CALLS];
	spinlock_t lock;
	wait_queue_head_t room;
	struct rcu_head rcu;
};

/**
 * struct dsm_op - one-sided requests chained in one post
 * @done: called when the last has ended, in softirq or process context
 * @error: 0 or a negative errno, valid in @done
 *
 * The rest is the session's.
 */
struct dsm_op {
	struct ib_cqe last;
	struct ib_cqe early;	/* the others: they complete only if they fail */
	struct dsm_conn *conn;
	unsigned int requests;
	void (*done)(struct dsm_op *op);
	int error;
};

struct dsm_session *dsm_session_alloc(struct dsm_node *node, bool active);
void dsm_session_close(struct dsm_session *session);
void dsm_session_fail(struct dsm_session *session, const char *why);
bool dsm_session_get(struct dsm_session *session);
void dsm_session_put(struct dsm_session *session);
bool dsm_session_established(const struct dsm_session *session);

int dsm_conn_connect(struct dsm_conn *conn, const struct sockaddr_storage *from,
		     const struct sockaddr_storage *to,
		     const struct dsm_wire_open *open);
int dsm_conn_accept(struct dsm_conn *conn, struct rdma_cm_id *id,
		    const struct dsm_wire_accept *accept);

int dsm_session_call(struct dsm_session *session, enum dsm_wire_type type,
		     const void *payload, size_t len,
		     struct dsm_wire_message *reply, unsigned int timeout_ms);
int dsm_session_reply(struct dsm_session *session,
		      const struct dsm_wire_message *request, int error,
		      const void *payload, size_t len);

struct dsm_conn *dsm_session_data(struct dsm_session *session);
int dsm_op_post(struct dsm_op *op, struct dsm_conn *conn,
		struct ib_send_wr *first, bool wait);
int dsm_session_read(struct dsm_session *session, u64 addr, u32 rkey, void *to,
		     size_t len);

#endif /* DSM_SESSION_H */
