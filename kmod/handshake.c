// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a session begins:
 *
 *	active					passive
 *	connect 0: nonce		->
 *					<-	accept: nonce, proof of the key
 *	PROOF				->
 *					<-	HELLO: directory keys
 *	HELLO				->
 *	connect 1..: proof, index	->	(each bound to this session)
 *	READY				->
 *	up						up
 *
 * Neither side gives a key or an address away before the other has proved
 * itself, and no queue pair that can READ exists before that.
 *
 * Who can change packets on the way is not kept out: nothing after the set-up is
 * protected.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/random.h>
#include <linux/slab.h>
#include <net/ipv6.h>
#include <rdma/ib_cm.h>
#include "auth.h"
#include "handshake.h"
#include "node.h"

static void dsm_handshake_fill_hello(struct dsm_node *node, struct dsm_wire_hello *hello)
{
	memset(hello, 0, sizeof(*hello));
	hello->born = cpu_to_le64(node->born);
	dsm_dir_hello(node, hello);
}

static int dsm_handshake_check_hello(const struct dsm_link *link,
				     const struct dsm_wire_hello *hello)
{
	unsigned int i;

	/* The link to oneself comes up before there is a directory. */
	if (link->peer == link->node->id)
		return 0;
	if (le32_to_cpu(hello->segment[0].entries) * sizeof(struct dsm_wire_chunk) <
	    DSM_PING_MAX_BYTES)
		return -EPROTO;
	for (i = 0; i < DSM_WIRE_SEGMENTS; i++)
		if (le32_to_cpu(hello->segment[i].entries) > DSM_DIR_SEGMENT_ENTRIES)
			return -EPROTO;
	/* A new life must begin above all versions of the one before. */
	if (!hello->born || le64_to_cpu(hello->born) > DSM_WORD_VERSION_MASK)
		return -EPROTO;
	if (le64_to_cpu(hello->born) != link->born &&
	    le64_to_cpu(hello->born) <= READ_ONCE(link->seen))
		return -ESTALE;
	return 0;
}

/* ---- the peer's requests ---- */

static int dsm_handshake_proof(struct dsm_link *link, struct dsm_session *s,
			       const struct dsm_wire_message *message)
{
	struct dsm_wire_hello hello;
	int err;

	if (s->active || test_bit(DSM_SESSION_TRUSTED, &s->flags) ||
	    le16_to_cpu(message->head.len) != sizeof(message->proof))
		return -EPROTO;
	err = dsm_auth_check(s->node->tfm, &s->auth, DSM_AUTH_ACTIVE, 0,
			     message->proof.proof);
	if (err) {
		dsm_link_refuse(link, "it does not know the cluster key");
		return err;
	}
	WRITE_ONCE(s->deadline, jiffies + msecs_to_jiffies(DSM_LINK_SETUP_MS));
	set_bit(DSM_SESSION_TRUSTED, &s->flags);
	dsm_handshake_fill_hello(s->node, &hello);
	return dsm_session_reply(s, message, 0, &hello, sizeof(hello));
}

static int dsm_handshake_hello(struct dsm_link *link, struct dsm_session *s,
			       const struct dsm_wire_message *message)
{
	int err;

	if (s->active || test_bit(DSM_SESSION_READY, &s->flags) ||
	    le16_to_cpu(message->head.len) != sizeof(message->hello))
		return -EPROTO;
	err = dsm_handshake_check_hello(link, &message->hello);
	if (err) {
		dsm_link_refuse(link, err == -ESTALE ? "its clock went back" :
				"malformed hello");
		return err;
	}
	s->hello = message->hello;
	return dsm_session_reply(s, message, 0, NULL, 0);
}

static int dsm_handshake_ready(struct dsm_link *link, struct dsm_session *s,
			       const struct dsm_wire_message *message)
{
	if (s->active || !s->hello.born || message->head.len ||
	    test_bit(DSM_SESSION_READY, &s->flags))
		return -EPROTO;
	s->ready_call = message->head.call;
	/* The hello was stored before: pairs with the work's test_bit(). */
	smp_mb__before_atomic();
	set_bit(DSM_SESSION_READY, &s->flags);
	smp_mb__after_atomic();	/* pairs with that of RDMA_CM_EVENT_ESTABLISHED */
	dsm_link_changed(s);
	return 0;
}

/**
 * dsm_handshake_answer() - tell the active side that the session can be used
 * @s: passive, ready, and in use if @err is 0
 * @err: 0 or a negative errno
 *
 * Not before the queue pairs of the session before are gone: what is in flight to
 * them must not be carried out behind the first request on this one.
 */
void dsm_handshake_answer(struct dsm_session *s, int err)
{
	struct dsm_wire_message request = {
		.head.type = cpu_to_le16(DSM_MSG_READY),
		.head.call = s->ready_call,
	};

	dsm_session_reply(s, &request, err, NULL, 0);
}

/**
 * dsm_handshake_request() - the peer asks something
 * @s: session that it came on
 * @message: what it asks
 *
 * Until the peer has proved itself its proof is all that is listened to.
 */
void dsm_handshake_request(struct dsm_session *s,
			   const struct dsm_wire_message *message)
{
	struct dsm_link *link = s->owner;
	unsigned int type = le16_to_cpu(message->head.type);
	int err;

	if (type != DSM_MSG_PROOF && !test_bit(DSM_SESSION_TRUSTED, &s->flags)) {
		err = -EKEYREJECTED;
		goto refuse;
	}
	switch (type) {
	case DSM_MSG_PROOF:
		err = dsm_handshake_proof(link, s, message);
		break;
	case DSM_MSG_HELLO:
		err = dsm_handshake_hello(link, s, message);
		break;
	case DSM_MSG_READY:
		err = dsm_handshake_ready(link, s, message);
		break;
	default:
		s->node->request(s->node, link->peer, s, message);
		return;
	}
	if (!err)
		return;
refuse:
	dsm_session_refuse(s, message, err, "request refused");
}

static void dsm_handshake_fill_open(const struct dsm_link *link, unsigned int conn,
				    struct dsm_wire_open *open)
{
	const struct dsm_node *node = link->node;

	memset(open, 0, sizeof(*open));
	open->magic = cpu_to_le32(DSM_WIRE_MAGIC);
	open->version = cpu_to_le16(DSM_WIRE_VERSION);
	open->from = node->id;
	open->to = link->peer;
	open->geometry = cpu_to_le32(node->config.geometry.crc);
	open->conn = conn;
	open->epoch = cpu_to_le64(READ_ONCE(node->config.epoch));
}

static int dsm_handshake_check_open(const struct dsm_node *node,
				    const struct dsm_wire_open *open)
{
	if (open->magic != cpu_to_le32(DSM_WIRE_MAGIC) ||
	    open->version != cpu_to_le16(DSM_WIRE_VERSION) ||
	    memchr_inv(open->reserved, 0, sizeof(open->reserved)))
		return -EPROTO;
	if (open->to != node->id || open->from >= node->config.geometry.max_nodes ||
	    !node->config.members[open->from].present)
		return -ENOENT;
	if (open->geometry != cpu_to_le32(node->config.geometry.crc))
		return -EINVAL;
	if (open->conn >= DSM_CONNS)
		return -EPROTO;
	if (le64_to_cpu(open->epoch) <
	    READ_ONCE(node->config.members[open->from].min_epoch))
		return -EHOSTDOWN;
	return 0;
}

/* ---- the active side ---- */

static int dsm_handshake_connect_control(struct dsm_link *link, struct dsm_session *s)
{
	struct dsm_node *node = link->node;
	struct dsm_wire_accept *accept = &s->conn[0].reply;
	struct dsm_wire_message *reply;
	struct dsm_wire_proof proof;
	struct dsm_wire_hello hello;
	struct dsm_wire_open open;
	int err;

	dsm_handshake_fill_open(link, 0, &open);
	get_random_bytes(open.token, sizeof(open.token));
	memcpy(s->auth.active_nonce, open.token, sizeof(open.token));
	s->auth.active_epoch = open.epoch;
	err = dsm_conn_connect(&s->conn[0], &node->config.members[node->id].addr,
			       &node->config.members[link->peer].addr, &open);
	if (err == -EKEYREJECTED)
		dsm_link_refuse(link, "it refuses our cluster key");
	if (err)
		return err;
	err = dsm_handshake_check_open(node, &accept->open);
	if (!err && accept->open.from != link->peer)
		err = -EPROTO;
	if (err) {
		dsm_link_refuse(link, err == -EHOSTDOWN ? "it is fenced" :
				"it is configured differently");
		return err;
	}
	s->auth.passive_epoch = accept->open.epoch;
	memcpy(s->auth.passive_nonce, accept->open.token, sizeof(accept->open.token));
	err = dsm_auth_check(node->tfm, &s->auth, DSM_AUTH_PASSIVE, 0, accept->proof);
	if (err) {
		dsm_link_refuse(link, "it does not know the cluster key");
		return err;
	}
	set_bit(DSM_SESSION_TRUSTED, &s->flags);

	reply = kzalloc(sizeof(*reply), GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	err = dsm_auth_prove(node->tfm, &s->auth, DSM_AUTH_ACTIVE, 0, proof.proof);
	if (!err)
		err = dsm_session_call(s, DSM_MSG_PROOF, &proof, sizeof(proof),
				       reply, DSM_CALL_TIMEOUT_MS);
	if (err)
		goto free;
	err = -EPROTO;
	if (le16_to_cpu(reply->head.len) == sizeof(reply->hello))
		err = dsm_handshake_check_hello(link, &reply->hello);
	if (err) {
		dsm_link_refuse(link, err == -ESTALE ? "its clock went back" :
				"malformed hello");
		goto free;
	}
	s->hello = reply->hello;
	dsm_handshake_fill_hello(node, &hello);
	err = dsm_session_call(s, DSM_MSG_HELLO, &hello, sizeof(hello), NULL,
			       DSM_CALL_TIMEOUT_MS);
free:
	kfree(reply);
	return err;
}

static int dsm_handshake_connect_data(struct dsm_link *link, struct dsm_session *s,
				      unsigned int conn)
{
	struct dsm_node *node = link->node;
	struct dsm_wire_open open;
	int err;

	dsm_handshake_fill_open(link, conn, &open);
	err = dsm_auth_prove(node->tfm, &s->auth, DSM_AUTH_DATA, conn, open.token);
	if (err)
		return err;
	err = dsm_conn_connect(&s->conn[conn], &node->config.members[node->id].addr,
			       &node->config.members[link->peer].addr, &open);
	if (err)
		return err;
	return dsm_auth_check(node->tfm, &s->auth, DSM_AUTH_DATA_PASSIVE, conn,
			      s->conn[conn].reply.proof);
}

/**
 * dsm_handshake_connect() - connect to the peer, as the active side
 * @link: to the peer
 * @s: new session
 *
 * Context: process; bounded by the connection manager's and the calls' time-outs.
 * Return: 0: all but dsm_handshake_finish() is done; or a negative errno.
 */
int dsm_handshake_connect(struct dsm_link *link, struct dsm_session *s)
{
	unsigned int i;
	int err;

	err = dsm_handshake_connect_control(link, s);
	for (i = 1; i < DSM_CONNS && !err; i++)
		err = dsm_handshake_connect_data(link, s, i);
	return err;
}

/**
 * dsm_handshake_finish() - tell the passive side that the session can be used
 * @s: connected; from here on the peer uses it
 *
 * Context: process.
 * Return: 0: we may use it, too; or a negative errno.
 */
int dsm_handshake_finish(struct dsm_session *s)
{
	set_bit(DSM_SESSION_READY, &s->flags);
	return dsm_session_call(s, DSM_MSG_READY, NULL, 0, NULL, DSM_CALL_TIMEOUT_MS);
}

/* ---- the passive side ---- */

/* The same address, whatever the port. */
static bool dsm_same_host(const struct sockaddr_storage *a,
			  const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET6)
		return ipv6_addr_equal(&((const struct sockaddr_in6 *)a)->sin6_addr,
				       &((const struct sockaddr_in6 *)b)->sin6_addr);
	return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
	       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

static int dsm_handshake_accept_control(struct dsm_link *link, struct rdma_cm_id *id,
					const struct dsm_wire_open *open)
{
	struct dsm_node *node = link->node;
	struct dsm_wire_accept accept = {};
	struct dsm_session *s;
	int err;

	/* Strangers shall cost little: look before anything is set up. */
	if (READ_ONCE(link->pending) || READ_ONCE(link->state) == DSM_LINK_CLOSED)
		return -EBUSY;
	s = dsm_link_session_alloc(link, false);
	if (IS_ERR(s))
		return PTR_ERR(s);
	s->auth.active_epoch = open->epoch;
	memcpy(s->auth.active_nonce, open->token, sizeof(open->token));
	dsm_handshake_fill_open(link, 0, &accept.open);
	s->auth.passive_epoch = accept.open.epoch;
	get_random_bytes(accept.open.token, sizeof(accept.open.token));
	memcpy(s->auth.passive_nonce, accept.open.token, sizeof(accept.open.token));
	err = dsm_auth_prove(node->tfm, &s->auth, DSM_AUTH_PASSIVE, 0, accept.proof);
	if (err)
		goto close;

	/* Our own use of it keeps the work from closing it under us. */
	refcount_inc(&s->users);
	spin_lock_bh(&link->lock);
	if (link->state == DSM_LINK_CLOSED)
		err = -EHOSTDOWN;
	else if (link->pending)
		err = -EBUSY;
	else
		link->pending = s;
	spin_unlock_bh(&link->lock);
	if (err) {
		dsm_session_put(s);
		goto close;
	}
	err = dsm_conn_accept(&s->conn[0], id, &accept);
	if (err)
		dsm_session_fail(s, "accept failed");
	queue_delayed_work(node->wq, &link->work, msecs_to_jiffies(DSM_LINK_PROOF_MS));
	dsm_session_put(s);
	return err;
close:
	dsm_session_close(s);
	return err;
}

static int dsm_handshake_accept_data(struct dsm_link *link, struct rdma_cm_id *id,
				     const struct dsm_wire_open *open)
{
	struct dsm_wire_accept accept = {};
	struct dsm_conn *conn;
	struct dsm_session *s;
	int err;

	spin_lock_bh(&link->lock);
	s = link->pending;
	if (s && !dsm_session_get(s))
		s = NULL;
	spin_unlock_bh(&link->lock);
	if (!s)
		return -ENOENT;
	err = -EKEYREJECTED;
	conn = &s->conn[open->conn];
	if (!test_bit(DSM_SESSION_TRUSTED, &s->flags))
		goto put;
	err = dsm_auth_check(link->node->tfm, &s->auth, DSM_AUTH_DATA, open->conn,
			     open->token);
	if (err) {
		dsm_link_refuse(link, "a connection without proof");
		goto put;
	}
	err = -EEXIST;
	if (test_and_set_bit(DSM_SESSION_CONN + open->conn, &s->flags))
		goto put;
	dsm_handshake_fill_open(link, open->conn, &accept.open);
	err = dsm_auth_prove(link->node->tfm, &s->auth, DSM_AUTH_DATA_PASSIVE,
			     open->conn, accept.proof);
	if (err)
		goto put;
	err = dsm_conn_accept(conn, id, &accept);
	if (err)
		dsm_session_fail(s, "accept failed");
put:
	dsm_session_put(s);
	return err;
}

/**
 * dsm_handshake_accept() - a peer, or a stranger, asks for a connection
 * @node: that listens
 * @id: the new connection
 * @event: RDMA_CM_EVENT_CONNECT_REQUEST
 *
 * Context: handler of the connection manager.
 * Return: 0, or an error: the request was refused and the connection manager
 * must destroy @id.
 */
int dsm_handshake_accept(struct dsm_node *node, struct rdma_cm_id *id,
			 const struct rdma_cm_event *event)
{
	struct dsm_wire_reject reject = { .magic = cpu_to_le32(DSM_WIRE_MAGIC) };
	struct dsm_link *link = NULL;
	struct dsm_wire_open request, *open = &request;
	int err = -EPROTO;

	if (event->param.conn.private_data &&
	    event->param.conn.private_data_len >= sizeof(request)) {
		memcpy(&request, event->param.conn.private_data, sizeof(request));
		err = dsm_handshake_check_open(node, open);
	}
	if (!err && !dsm_same_host(&id->route.addr.dst_addr,
				   &node->config.members[open->from].addr))
		err = -ENOENT;
	if (!err) {
		if (open->from == node->id)
			link = READ_ONCE(node->loop);
		/* Pairs with the node's release: all links are there, or none. */
		else if (smp_load_acquire(&node->linked))
			link = node->links[open->from];
		if (!link)
			err = -EAGAIN;
		else if (link->active)
			err = -EPROTO;
	}
	if (err && err != -EAGAIN) {
		dsm_stat_add(node->stat, DSM_COUNTER_LINKS_REFUSED, 1);
		pr_warn_ratelimited("node %u: connection refused: %s\n", node->id,
				    err == -EHOSTDOWN ? "fenced" :
				    err == -EINVAL ? "another geometry" :
				    err == -ENOENT ? "not of this cluster" : "malformed");
	}
	if (!err)
		err = open->conn ? dsm_handshake_accept_data(link, id, open) :
				   dsm_handshake_accept_control(link, id, open);
	if (err) {
		reject.error = cpu_to_le32(-err);
		rdma_reject(id, &reject, sizeof(reject), IB_CM_REJ_CONSUMER_DEFINED);
	}
	return err;
}
