/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_SESSION_H
#define DSM_SESSION_H

#include <linux/completion.h>
#include <linux/random.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <rdma/ib_verbs.h>
#include "auth.h"
#include "conn.h"
#include "message.h"
#include "wire.h"

struct dsm_node;
struct dsm_session;

enum {
	DSM_CONNS = 3,			/* 0: control, others: one-sided requests */
	DSM_READ_PAGES = 16,		/* most that one READ scatters */
	DSM_READS_IN_FLIGHT = 16,	/* asked of the device of each side */
};

enum dsm_session_flags {
	DSM_SESSION_FAILED,	/* use no more; the link's work closes it */
	DSM_SESSION_TRUSTED,	/* the peer knows the cluster key */
	DSM_SESSION_READY,	/* the active side has all it needs, the peer may use it */
	DSM_SESSION_REFUSED,	/* it fails when the peer has been told */
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
 * @why: it failed, for the log; a constant string
 * @serial: distinguishes this session of its link from earlier ones
 * @deadline: jiffies until which it must be up
 * @users: operations and handlers that use it, and one of the owner's; it is
 *	   taken apart when none is left
 * @idle: completed by the last user
 * @auth: what the proofs are about
 * @hello: what the peer told of itself
 * @ready_call: passive: of the active side's last message of the set-up
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
	const char *why;
	u32 serial;
	unsigned long deadline;
	refcount_t users;
	struct completion idle;
	struct dsm_auth auth;
	struct dsm_wire_hello hello;
	__le32 ready_call;
	struct dsm_conn conn[DSM_CONNS];
	struct dsm_receive *receives;
	struct dsm_call calls[DSM_CALLS];
	spinlock_t lock;	/* calls */
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

/*
 * Soft-RoCE (6.1 and 6.12) completes a READ with success but without its bytes
 * when the peer's network stack refused to send the answer.  As bytes come in
 * order, all are in when the last are: those are marked before, and a READ that
 * leaves the mark has failed.  Bytes that equal the mark come with the next one.
 */
#define DSM_NOT_WRITTEN		(~0ULL)		/* mark of words and claims */

static inline u64 dsm_read_mark(void *to, size_t len)
{
	u64 *last = to + len - sizeof(*last);

	*last = get_random_u64();
	return *last;
}

static inline bool dsm_read_came(const void *to, size_t len, u64 mark)
{
	return READ_ONCE(*(const u64 *)(to + len - sizeof(mark))) != mark;
}

struct dsm_session *dsm_session_alloc(struct dsm_node *node, bool active);
void dsm_session_close(struct dsm_session *session);
void dsm_session_fail(struct dsm_session *session, const char *why);
bool dsm_session_get(struct dsm_session *session);
void dsm_session_put(struct dsm_session *session);
bool dsm_session_established(const struct dsm_session *session);

void dsm_session_hollow(struct dsm_session *session);
struct dsm_conn *dsm_session_data(struct dsm_session *session);
int dsm_op_post(struct dsm_op *op, struct dsm_conn *conn,
		struct ib_send_wr *first, bool wait);
int dsm_session_read(struct dsm_session *session, u64 addr, u32 rkey, void *to,
		     size_t len);

#endif /* DSM_SESSION_H */
