// SPDX-License-Identifier: GPL-2.0-only
/*
 * A link joins two nodes.  The one with the lower id connects, the other
 * accepts; a node has a link to itself, for registrations and its own atomics.
 *
 * A new session of the peer replaces the old one only when it is complete, so
 * a stranger's requests cannot take a working link down.  All changes are made
 * by the link's work, one at a time.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "handshake.h"
#include "link.h"
#include "node.h"
#include "trace.h"

static const char *const dsm_link_state_names[DSM_LINK_STATES] = {
	[DSM_LINK_DOWN] = "down",
	[DSM_LINK_CONNECTING] = "connecting",
	[DSM_LINK_UP] = "up",
	[DSM_LINK_FENCED] = "fenced",
	[DSM_LINK_CLOSED] = "closed",
};

static const u8 dsm_link_legal[DSM_LINK_STATES] = {
	[DSM_LINK_DOWN] = BIT(DSM_LINK_CONNECTING) | BIT(DSM_LINK_UP) |
			  BIT(DSM_LINK_FENCED) | BIT(DSM_LINK_CLOSED),
	[DSM_LINK_CONNECTING] = BIT(DSM_LINK_DOWN) | BIT(DSM_LINK_UP) |
				BIT(DSM_LINK_FENCED) | BIT(DSM_LINK_CLOSED),
	[DSM_LINK_UP] = BIT(DSM_LINK_DOWN) | BIT(DSM_LINK_FENCED) |
			BIT(DSM_LINK_CLOSED),
	[DSM_LINK_FENCED] = BIT(DSM_LINK_UP) | BIT(DSM_LINK_CLOSED),
	[DSM_LINK_CLOSED] = 0,
};

const char *dsm_link_state_name(const struct dsm_link *link)
{
	return dsm_link_state_names[READ_ONCE(link->state)];
}

/* The one place where a link changes its state.  Returns whether it did. */
static bool dsm_link_set_state(struct dsm_link *link, enum dsm_link_state state)
{
	struct dsm_stat __percpu *stat = link->node->stat;

	lockdep_assert_held(&link->lock);
	if (!(dsm_link_legal[link->state] & BIT(state)))
		return false;
	trace_dsm_link_state(link->node->id, link->peer,
			     dsm_link_state_names[link->state],
			     dsm_link_state_names[state]);
	if (link->state == DSM_LINK_UP) {
		link->lost = jiffies;
		if (link != link->node->loop) {
			dsm_stat_add(stat, DSM_COUNTER_GAUGE_LINKS, -1);
			dsm_stat_add(stat, DSM_COUNTER_LINKS_LOST,
				     state != DSM_LINK_CLOSED);
		}
	}
	if (state == DSM_LINK_UP && link != link->node->loop) {
		dsm_stat_add(stat, DSM_COUNTER_GAUGE_LINKS, 1);
		dsm_stat_add(stat, DSM_COUNTER_LINKS_UP, 1);
	}
	WRITE_ONCE(link->state, state);
	wake_up_all(&link->changed);
	return true;
}

/**
 * dsm_link_saw() - remember the highest version seen of a peer
 * @link: to the peer
 * @version: seen
 */
void dsm_link_saw(struct dsm_link *link, u64 version)
{
	spin_lock_bh(&link->lock);
	if (version > link->seen)
		WRITE_ONCE(link->seen, version);
	spin_unlock_bh(&link->lock);
}

/**
 * dsm_link_is_lifeless() - is there no life of the peer that we know and is not dead?
 * @link: to the peer
 */
bool dsm_link_is_lifeless(struct dsm_link *link)
{
	bool lifeless;

	spin_lock_bh(&link->lock);
	lifeless = READ_ONCE(link->born) == link->dead;
	spin_unlock_bh(&link->lock);
	return lifeless;
}

/**
 * dsm_link_refuse() - count that a peer was refused, and log the first time
 * @link: to the peer
 * @why: for the log
 */
void dsm_link_refuse(struct dsm_link *link, const char *why)
{
	dsm_stat_add(link->node->stat, DSM_COUNTER_LINKS_REFUSED, 1);
	if (!link->refused)
		pr_warn_ratelimited("node %u: link to node %u refused: %s\n",
				    link->node->id, link->peer, why);
	link->refused = true;
}

/**
 * dsm_link_get() - use the link's session
 * @link: any
 *
 * Return: the session, to be put after use, or NULL if the link is not up.
 */
struct dsm_session *dsm_link_get(struct dsm_link *link)
{
	struct dsm_session *s;

	rcu_read_lock();
	s = rcu_dereference(link->session);
	if (s && !dsm_session_get(s))
		s = NULL;
	rcu_read_unlock();
	return s;
}

/* Up, or not going to be in time. */
static bool dsm_link_settled(struct dsm_link *link)
{
	struct dsm_session *s;
	bool failed;

	if (time_after(jiffies, READ_ONCE(link->lost) +
		       msecs_to_jiffies(DSM_LINK_GRACE_MS)) &&
	    READ_ONCE(link->state) != DSM_LINK_UP)
		return true;
	switch (READ_ONCE(link->state)) {
	case DSM_LINK_UP:
		rcu_read_lock();
		s = rcu_dereference(link->session);
		failed = !s || test_bit(DSM_SESSION_FAILED, &s->flags);
		rcu_read_unlock();
		return !failed;
	case DSM_LINK_FENCED:
	case DSM_LINK_CLOSED:
		return true;
	default:
		return false;
	}
}

/**
 * dsm_link_wait() - wait for a lost link to come back
 * @link: any
 * @state: TASK_INTERRUPTIBLE, TASK_KILLABLE or TASK_UNINTERRUPTIBLE
 *
 * A link that was lost less than DSM_LINK_GRACE_MS ago is waited for until then.
 *
 * Return: 0: up; -EHOSTDOWN; -EINTR.
 */
int dsm_link_wait(struct dsm_link *link, unsigned int state)
{
	unsigned long end = jiffies + msecs_to_jiffies(DSM_LINK_GRACE_MS);
	DEFINE_WAIT(wait);
	int err = 0;

	if (dsm_link_settled(link))
		goto out;
	for (;;) {
		prepare_to_wait(&link->changed, &wait, state);
		if (dsm_link_settled(link) || time_after(jiffies, end))
			break;
		if (signal_pending_state(state, current)) {
			err = -EINTR;
			break;
		}
		schedule_timeout(msecs_to_jiffies(DSM_LINK_BACKOFF_MIN_MS));
	}
	finish_wait(&link->changed, &wait);
out:
	if (!err && READ_ONCE(link->state) != DSM_LINK_UP)
		err = -EHOSTDOWN;
	return err;
}

/**
 * dsm_link_call() - ask the peer something
 * @link: to the peer
 * @type: of the request
 * @payload: what it says
 * @len: bytes of it
 * @reply: out: the answer; may be NULL
 *
 * Return: as dsm_session_call(); -EHOSTDOWN if the link is not up.
 */
int dsm_link_call(struct dsm_link *link, enum dsm_wire_type type,
		  const void *payload, size_t len,
		  struct dsm_wire_message *reply)
{
	struct dsm_session *s;
	int err;

	err = dsm_link_wait(link, TASK_KILLABLE);
	if (err)
		return err;
	s = dsm_link_get(link);
	if (!s)
		return -EHOSTDOWN;
	/* An answer that waits for other nodes' answers. */
	err = dsm_session_call(s, type, payload, len, reply,
			       type == DSM_MSG_REGION_REMOVE || type == DSM_MSG_REGION_ENDED ?
			       3 * DSM_CALL_TIMEOUT_MS : DSM_CALL_TIMEOUT_MS);
	dsm_session_put(s);
	return err;
}

struct dsm_link_one {
	struct work_struct work;
	struct dsm_link *link;
	enum dsm_wire_type type;
	const void *payload;
	size_t len;
	int err;
};

static void dsm_link_one_work(struct work_struct *work)
{
	struct dsm_link_one *one = container_of(work, struct dsm_link_one, work);

	one->err = dsm_link_call(one->link, one->type, one->payload, one->len, NULL);
}

/**
 * dsm_link_call_all() - tell every peer something, side by side
 * @node: ours
 * @type: of the request
 * @payload: what it says
 * @len: bytes of it
 * @silent: out: bit by node: did not answer; may be NULL
 *
 * Context: process; waits for all answers, as long as one call may take.
 */
void dsm_link_call_all(struct dsm_node *node, enum dsm_wire_type type,
		       const void *payload, size_t len, unsigned long *silent)
{
	struct dsm_link_one *all, *one;
	unsigned int i;

	/* Who is not told must be known to be: this may not fail. */
	all = kvcalloc(DSM_MAX_NODES, sizeof(*all), GFP_KERNEL | __GFP_NOFAIL);
	for (i = 0; i < DSM_MAX_NODES; i++) {
		one = &all[i];
		if (i == node->id || !node->links[i])
			continue;
		INIT_WORK(&one->work, dsm_link_one_work);
		one->link = node->links[i];
		one->type = type;
		one->payload = payload;
		one->len = len;
		queue_work(node->calls, &one->work);
	}
	for (i = 0; i < DSM_MAX_NODES; i++) {
		one = &all[i];
		if (!one->link)
			continue;
		flush_work(&one->work);
		if (one->err && silent)
			set_bit(i, silent);
	}
	kvfree(all);
}

static u64 dsm_link_peer_epoch(const struct dsm_session *s)
{
	return le64_to_cpu(s->active ? s->auth.passive_epoch : s->auth.active_epoch);
}

static u64 dsm_link_min_epoch(const struct dsm_link *link)
{
	return READ_ONCE(link->node->config.members[link->peer].min_epoch);
}

/**
 * dsm_link_changed() - have the link's work look at a session
 * @s: that failed, or may be ready
 *
 * Context: any.
 */
void dsm_link_changed(struct dsm_session *s)
{
	struct dsm_link *link = s->owner;

	wake_up_all(&s->room);
	wake_up_all(&link->changed);
	if (READ_ONCE(link->state) != DSM_LINK_CLOSED)
		mod_delayed_work(link->node->wq, &link->work, 0);
}

/* ---- beginning and ending sessions ---- */

/**
 * dsm_link_session_alloc() - begin a session
 * @link: that will own it
 * @active: we connect
 *
 * Return: the session or an ERR_PTR.
 */
struct dsm_session *dsm_link_session_alloc(struct dsm_link *link, bool active)
{
	struct dsm_session *s = dsm_session_alloc(link->node, active);

	if (IS_ERR(s))
		return s;
	s->owner = link;
	s->changed = dsm_link_changed;
	s->request = dsm_handshake_request;
	s->auth.active = active ? link->node->id : link->peer;
	s->auth.passive = active ? link->peer : link->node->id;
	s->deadline = jiffies + msecs_to_jiffies(active ? DSM_LINK_SETUP_MS :
							  DSM_LINK_PROOF_MS);
	return s;
}

/* Close a session that the link has let go of, and tell who waits for that. */
static void dsm_link_close(struct dsm_link *link, struct dsm_session *s)
{
	dsm_session_close(s);
	spin_lock_bh(&link->lock);
	link->closing = NULL;
	spin_unlock_bh(&link->lock);
	wake_up_all(&link->changed);
}

/* Take away the session in use, if it failed or @any, and wait for its end. */
static void dsm_link_reap(struct dsm_link *link, bool any)
{
	struct dsm_session *s;

	spin_lock_bh(&link->lock);
	s = rcu_dereference_protected(link->session, lockdep_is_held(&link->lock));
	if (s && !any && link->state == DSM_LINK_UP &&
	    !test_bit(DSM_SESSION_FAILED, &s->flags))
		s = NULL;
	if (s) {
		if (link->state == DSM_LINK_UP) {
			pr_info_ratelimited("node %u: link to node %u lost: %s\n",
					    link->node->id, link->peer,
					    s->why ?: "it begins anew");
			dsm_link_set_state(link, DSM_LINK_DOWN);
		}
		rcu_assign_pointer(link->session, NULL);
		link->closing = s;
	}
	spin_unlock_bh(&link->lock);
	if (s) {
		synchronize_rcu();
		dsm_link_close(link, s);
	}
}

/*
 * Before the peer is told that a session can be used: the old one is gone, and its
 * life with it if this is another.  So nothing of the old life arrives after that, and
 * what the new one does is not taken for the old one's.  @s stays pending.
 */
static int dsm_link_prepare(struct dsm_link *link, struct dsm_session *s)
{
	u64 born = le64_to_cpu(s->hello.born);
	bool reborn = link->born && link->born != born;

	dsm_link_reap(link, true);
	/* Dead is dead: a fenced node returns in a new life alone. */
	if (READ_ONCE(link->dead) == born)
		return -EHOSTDOWN;
	if (link->peer == link->node->id)
		return 0;
	WRITE_ONCE(link->born, born);
	dsm_link_saw(link, born);
	link->node->peer_up(link->node, link->peer, reborn);
	return 0;
}

/* The pending session, prepared, becomes the one in use; unless a reset failed it. */
static int dsm_link_adopt(struct dsm_link *link, struct dsm_session *s)
{
	int err = -EHOSTDOWN;

	spin_lock_bh(&link->lock);
	if (test_bit(DSM_SESSION_FAILED, &s->flags) ||
	    dsm_link_peer_epoch(s) < dsm_link_min_epoch(link))
		goto unlock;
	s->serial = ++link->serial;
	if (!dsm_link_set_state(link, DSM_LINK_UP))
		goto unlock;
	rcu_assign_pointer(link->session, s);
	link->pending = NULL;
	link->fenced = false;
	link->refused = false;
	link->backoff_ms = DSM_LINK_BACKOFF_MIN_MS;
	err = 0;
unlock:
	spin_unlock_bh(&link->lock);
	if (!err)
		wake_up_all(&link->changed);
	return err;
}

/* The pending session comes to nothing. */
static void dsm_link_discard(struct dsm_link *link, struct dsm_session *s)
{
	spin_lock_bh(&link->lock);
	link->pending = NULL;
	link->closing = s;
	if (link->state == DSM_LINK_CONNECTING)
		dsm_link_set_state(link, DSM_LINK_DOWN);
	spin_unlock_bh(&link->lock);
	dsm_link_close(link, s);
}

static int dsm_link_connect(struct dsm_link *link)
{
	struct dsm_session *s;
	int err;

	s = dsm_link_session_alloc(link, true);
	if (IS_ERR(s))
		return PTR_ERR(s);
	spin_lock_bh(&link->lock);
	if (link->state == DSM_LINK_CLOSED)
		dsm_session_fail(s, "closed");
	else if (!link->fenced)
		dsm_link_set_state(link, DSM_LINK_CONNECTING);
	link->pending = s;
	spin_unlock_bh(&link->lock);
	err = dsm_handshake_connect(link, s) ?: dsm_link_prepare(link, s) ?:
	      dsm_handshake_finish(s) ?: dsm_link_adopt(link, s);
	if (err)
		dsm_link_discard(link, s);
	return err;
}

static void dsm_link_settle_pending(struct dsm_link *link)
{
	struct dsm_session *s;
	bool ready = false;
	int err = -EHOSTDOWN;

	/* An active link's is being connected, by the work itself. */
	if (link->active)
		return;
	spin_lock_bh(&link->lock);
	s = link->pending;
	if (s) {
		ready = test_bit(DSM_SESSION_READY, &s->flags) &&
			!test_bit(DSM_SESSION_FAILED, &s->flags) &&
			link->state != DSM_LINK_CLOSED &&
			dsm_session_established(s);
		if (!ready && !test_bit(DSM_SESSION_FAILED, &s->flags) &&
		    link->state != DSM_LINK_CLOSED &&
		    !time_after(jiffies, READ_ONCE(s->deadline)))
			s = NULL;
	}
	spin_unlock_bh(&link->lock);
	if (!s)
		return;
	if (!test_bit(DSM_SESSION_TRUSTED, &s->flags) &&
	    READ_ONCE(s->conn[0].established))
		dsm_link_refuse(link, "it went away without a proof of the cluster key");
	if (ready) {
		err = dsm_link_prepare(link, s) ?: dsm_link_adopt(link, s);
		dsm_handshake_answer(s, err);
	}
	if (err)
		dsm_link_discard(link, s);
}

static void dsm_link_liveness(struct dsm_link *link)
{
	struct dsm_session *s;
	u64 *to;

	if (link->peer == link->node->id)
		return;
	s = dsm_link_get(link);
	if (!s)
		return;
	to = kmalloc(sizeof(*to), GFP_KERNEL);
	if (to) {
		if (!dsm_session_read(s, le64_to_cpu(s->hello.segment[0].addr),
				      le32_to_cpu(s->hello.segment[0].rkey), to,
				      sizeof(*to)))
			dsm_stat_add(link->node->stat, DSM_COUNTER_READS_LIVENESS, 1);
		kfree(to);
	}
	dsm_session_put(s);
}

static void dsm_link_work(struct work_struct *work)
{
	struct dsm_link *link = container_of(to_delayed_work(work), struct dsm_link, work);
	unsigned int delay_ms = DSM_LINK_LIVENESS_MS;

	dsm_link_reap(link, false);
	dsm_link_settle_pending(link);
	if (READ_ONCE(link->state) == DSM_LINK_CLOSED)
		return;
	if (rcu_access_pointer(link->session)) {
		dsm_link_liveness(link);
	} else if (link->active && dsm_link_connect(link)) {
		/* A little at random, so that nodes do not try in step. */
		delay_ms = link->backoff_ms + get_random_u32_below(link->backoff_ms);
		link->backoff_ms = min_t(unsigned int, 2 * link->backoff_ms,
					 DSM_LINK_BACKOFF_MAX_MS);
	}
	if (READ_ONCE(link->state) != DSM_LINK_CLOSED)
		queue_delayed_work(link->node->wq, &link->work,
				   msecs_to_jiffies(delay_ms));
}

/* ---- life ---- */

/**
 * dsm_link_alloc() - make a link, down
 * @node: that we are
 * @peer: the other's id
 * @active: we connect
 */
struct dsm_link *dsm_link_alloc(struct dsm_node *node, u32 peer, bool active)
{
	struct dsm_link *link = kzalloc(sizeof(*link), GFP_KERNEL);

	if (!link)
		return NULL;
	link->node = node;
	link->peer = peer;
	link->active = active;
	link->lost = jiffies;
	link->backoff_ms = DSM_LINK_BACKOFF_MIN_MS;
	spin_lock_init(&link->lock);
	init_waitqueue_head(&link->changed);
	INIT_DELAYED_WORK(&link->work, dsm_link_work);
	xa_init(&link->far);
	return link;
}

void dsm_link_start(struct dsm_link *link)
{
	queue_delayed_work(link->node->wq, &link->work, 0);
}

/**
 * dsm_link_shut() - begin to close a link for good
 * @link: any
 *
 * Everything that waits on it ends soon.  Context: any.
 */
void dsm_link_shut(struct dsm_link *link)
{
	struct dsm_session *s;

	spin_lock_bh(&link->lock);
	dsm_link_set_state(link, DSM_LINK_CLOSED);
	s = rcu_dereference_protected(link->session, lockdep_is_held(&link->lock));
	if (s)
		dsm_session_fail(s, "closed");
	if (link->pending)
		dsm_session_fail(link->pending, "closed");
	spin_unlock_bh(&link->lock);
}

/**
 * dsm_link_stop() - close a link for good
 * @link: shut
 *
 * Context: process.  All requests on it have completed when this returns.
 */
void dsm_link_stop(struct dsm_link *link)
{
	cancel_delayed_work_sync(&link->work);
	dsm_link_reap(link, true);
	dsm_link_settle_pending(link);
	/* A session that was closing may have kicked the work once more. */
	cancel_delayed_work_sync(&link->work);
}

void dsm_link_free(struct dsm_link *link)
{
	if (!link)
		return;
	dsm_dir_forget_peer(link);
	xa_destroy(&link->far);
	kfree(link);
}

/* Has none of the sessions that a reset failed any queue pair left? */
static bool dsm_link_is_rid(struct dsm_link *link, const struct dsm_session *s,
			    const struct dsm_session *pending)
{
	bool rid;

	spin_lock_bh(&link->lock);
	rid = !link->closing &&
	      (!s || rcu_access_pointer(link->session) != s) &&
	      (!pending || link->pending != pending);
	spin_unlock_bh(&link->lock);
	return rid;
}

/**
 * dsm_link_reset() - close the session and wait until its queue pairs are gone
 * @link: any
 * @fence: and refuse the peer until it comes in a new life with a new epoch
 *
 * Context: process; as long as closing a session takes.
 */
void dsm_link_reset(struct dsm_link *link, bool fence)
{
	struct dsm_session *s, *pending;

	spin_lock_bh(&link->lock);
	if (fence) {
		link->fenced = true;
		WRITE_ONCE(link->dead, READ_ONCE(link->born));
		dsm_link_set_state(link, DSM_LINK_FENCED);
	}
	s = rcu_dereference_protected(link->session, lockdep_is_held(&link->lock));
	if (s)
		dsm_session_fail(s, fence ? "fenced" : "keys revoked");
	/* Keys that are listed no more a session gets only if the peer uses it already. */
	pending = link->pending;
	if (!fence && pending &&
	    !(link->active && test_bit(DSM_SESSION_READY, &pending->flags)))
		pending = NULL;
	if (pending)
		dsm_session_fail(pending, fence ? "fenced" : "keys revoked");
	spin_unlock_bh(&link->lock);
	wait_event(link->changed, dsm_link_is_rid(link, s, pending));
}
