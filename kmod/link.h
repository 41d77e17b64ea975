/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_LINK_H
#define DSM_LINK_H

#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include "session.h"

struct dsm_node;

enum {
	DSM_LINK_LIVENESS_MS = 1000,	/* an idle link is tried this often */
	DSM_LINK_BACKOFF_MIN_MS = 50,
	DSM_LINK_BACKOFF_MAX_MS = 1000,
	DSM_LINK_PROOF_MS = 1000,	/* from a stranger's request to its proof */
	DSM_LINK_SETUP_MS = 5000,	/* from there to up */
	DSM_LINK_GRACE_MS = 1500,	/* a lost link may come back this long */
};

enum dsm_link_state {
	DSM_LINK_DOWN,
	DSM_LINK_CONNECTING,
	DSM_LINK_UP,
	DSM_LINK_FENCED,
	DSM_LINK_CLOSED,	/* the node is going down */
	DSM_LINK_STATES,
};

/**
 * struct dsm_link - this node's connection to one peer, for as long as it is up
 * @node: that we are
 * @peer: the other's id
 * @active: we connect; else the peer does
 * @lock: protects @state, @fenced, @dead, @pending, @closing, @serial and @seen;
 *	  taken in softirq
 * @state: changed by dsm_link_set_state() alone
 * @lost: jiffies when it was last up, or was begun
 * @fenced: the peer is refused until it comes in a new life with a new epoch
 * @dead: the life in which it was fenced, 0: none
 * @session: in use; readers under RCU, written by @work
 * @pending: being set up, by the peer or by @work, until it is @session or @closing
 * @closing: being closed by @work
 * @serial: of the last session
 * @born: life of the peer that it last showed, 0: none; written by @work
 * @seen: highest version seen of the peer: its next life must begin above
 * @refused: a refusal was logged since it was last up; a hint, without a lock
 * @work: all that changes the link's state: one at a time
 * @backoff_ms: until the next try; @work's
 * @changed: woken when @state changes
 * @far: chunks of the peer that we know, see dir.c
 */
struct dsm_link {
	struct dsm_node *node;
	u32 peer;
	bool active;
	spinlock_t lock;	/* state, fenced, dead, pending, closing, serial, seen */
	enum dsm_link_state state;
	unsigned long lost;
	bool fenced;
	u64 dead;
	struct dsm_session __rcu *session;
	struct dsm_session *pending;
	struct dsm_session *closing;
	u32 serial;
	u64 born;
	u64 seen;
	bool refused;
	struct delayed_work work;
	unsigned int backoff_ms;
	wait_queue_head_t changed;
	struct xarray far;
};

struct dsm_link *dsm_link_alloc(struct dsm_node *node, u32 peer, bool active);
void dsm_link_start(struct dsm_link *link);
void dsm_link_shut(struct dsm_link *link);
void dsm_link_stop(struct dsm_link *link);
void dsm_link_free(struct dsm_link *link);
void dsm_link_reset(struct dsm_link *link, bool fence);
bool dsm_link_is_lifeless(struct dsm_link *link);
void dsm_link_saw(struct dsm_link *link, u64 version);
void dsm_link_refuse(struct dsm_link *link, const char *why);
void dsm_link_changed(struct dsm_session *s);
struct dsm_session *dsm_link_session_alloc(struct dsm_link *link, bool active);
const char *dsm_link_state_name(const struct dsm_link *link);

struct dsm_session *dsm_link_get(struct dsm_link *link);
int dsm_link_wait(struct dsm_link *link, unsigned int state);
int dsm_link_call(struct dsm_link *link, enum dsm_wire_type type,
		  const void *payload, size_t len,
		  struct dsm_wire_message *reply);
void dsm_link_call_all(struct dsm_node *node, enum dsm_wire_type type,
		       const void *payload, size_t len, unsigned long *silent);

#endif /* DSM_LINK_H */
