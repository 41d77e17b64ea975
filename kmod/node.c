// SPDX-License-Identifier: GPL-2.0-only
/* A local node: brings its parts up and down and dispatches what peers ask. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/slab.h>
#include "auth.h"
#include "claimed.h"
#include "handshake.h"
#include "node.h"
#include "object.h"
#include "slab.h"

enum {
	DSM_SELF_LINK_MS = 20000,	/* a node's link to itself must be up by then */
	DSM_RECHECK_MS = 200,
	DSM_ALLOC_MS = 2000,		/* one call's share of an allocation for a peer */
	DSM_ALLOC_TRIES = 60,
	DSM_LISTEN_BACKLOG = 4 * DSM_MAX_NODES,
};

/* The nodes that are up in this kernel; requests of /dev/dsm name them by id. */
static LIST_HEAD(dsm_nodes);
static DEFINE_SPINLOCK(dsm_nodes_lock);		/* protects dsm_nodes */
static DEFINE_MUTEX(dsm_nodes_change);		/* serialises going up and down */
static struct ib_client dsm_client;

static void dsm_node_free(struct kref *ref)
{
	struct dsm_node *node = container_of(ref, struct dsm_node, ref);

	memzero_explicit(node->config.key, sizeof(node->config.key));
	percpu_ref_exit(&node->users);
	free_percpu(node->stat);
	kvfree(node);
}

void dsm_node_put(struct dsm_node *node)
{
	kref_put(&node->ref, dsm_node_free);
}

/**
 * dsm_node_find() - a node that is up here
 * @id: its id, or DSM_NODE_ANY if there is just one
 *
 * Return: the node, to be put, or NULL.
 */
struct dsm_node *dsm_node_find(u32 id)
{
	struct dsm_node *node, *found = NULL;

	spin_lock(&dsm_nodes_lock);
	list_for_each_entry(node, &dsm_nodes, list) {
		if (id == DSM_NODE_ANY && found) {
			found = NULL;
			break;
		}
		if (id == DSM_NODE_ANY || id == node->id)
			found = node;
	}
	if (found)
		kref_get(&found->ref);
	spin_unlock(&dsm_nodes_lock);
	return found;
}

/**
 * dsm_node_local() - the nodes that are up here, a bit each
 */
u64 dsm_node_local(void)
{
	struct dsm_node *node;
	u64 local = 0;

	spin_lock(&dsm_nodes_lock);
	list_for_each_entry(node, &dsm_nodes, list)
		local |= BIT_ULL(node->id);
	spin_unlock(&dsm_nodes_lock);
	return local;
}

/* ---- the end of a region ---- */

static void dsm_node_release_work(struct work_struct *work)
{
	struct dsm_region *region = container_of(work, struct dsm_region, release);
	struct dsm_wire_region wire = { .id = cpu_to_le64(region->id) };
	struct dsm_node *node = region->node;

	/* Hidden: the list does not change any more. */
	if (list_empty(&region->chunks))
		goto put;
	/* First all know that it has ended: to them it is gone, not of somebody else. */
	dsm_link_call_all(node, DSM_MSG_REGION_ENDED, &wire, sizeof(wire), NULL);
	dsm_chunks_unlist(region);
	dsm_dir_recall(node, region->id, 0, DSM_DIR_MAX_ENTRIES, true);
	dsm_chunks_release(node, region, &region->chunks);
put:
	dsm_region_put(region);
}

/*
 * Stop using a region.  When this returns no process of this node can reach any
 * of it, and no key of a peer's chunk of it is in use.
 */
static void dsm_node_end_region(struct dsm_node *node, struct dsm_region *region)
{
	unsigned int i;

	mutex_lock(&region->ending);
	if (region->ended)
		goto unlock;
	dsm_region_stop_fetches(region);
	dsm_copy_drop_region(region);
	for (i = 0; i < DSM_MAX_NODES; i++)
		if (node->links[i])
			dsm_dir_revoke(node->links[i], region->id, 0,
				       DSM_DIR_MAX_ENTRIES);
	dsm_chunks_hide(region);
	region->ended = true;
	kref_get(&region->ref);
	queue_work(node->ends, &region->release);
	dsm_region_forget(region);
unlock:
	mutex_unlock(&region->ending);
}

/* Ask whether a region still exists. */
static void dsm_node_recheck(struct dsm_node *node, struct dsm_region *region)
{
	struct dsm_wire_region in = { .id = cpu_to_le64(region->id) };
	u64 born = dsm_region_registrar_born(region);
	struct dsm_wire_region out;
	int err;

	err = dsm_region_restore(region);
	if (err > 0)
		err = dsm_registrar_ask_region(node, region->registrar,
					       DSM_MSG_REGION_CHECK, &in, &out);
	/* A life that began meanwhile knows nothing of it yet, and is asked again. */
	if (dsm_region_registrar_born(region) != born)
		return;
	if (err == -EEXIST)
		pr_warn("node %u: region \"%s\" ends: its registrar restarted, and there is a new one of that name\n",
			node->id, region->name);
	/* Without its name it could be neither found nor removed. */
	if (err == -EEXIST || err == -ENOENT)
		dsm_node_end_region(node, region);
}

/* Keys of a peer's chunks die.  Returns whether the message makes sense. */
static bool dsm_node_revoked(struct dsm_node *node, u32 peer,
			     const struct dsm_wire_revoke *in)
{
	u32 first = le32_to_cpu(in->first), nr = le32_to_cpu(in->nr);
	u64 id = le64_to_cpu(in->region);
	struct dsm_region *region;
	pgoff_t from, to;

	if (!nr || first >= DSM_DIR_MAX_ENTRIES || nr > DSM_DIR_MAX_ENTRIES - first)
		return false;
	dsm_dir_revoke(node->links[peer], id, first, nr);
	region = dsm_region_find(node, id);
	if (!region)
		return true;
	from = dsm_partition(node, peer) + (pgoff_t)first * DSM_CHUNK_PAGES;
	to = min(from + (pgoff_t)nr * DSM_CHUNK_PAGES, dsm_partition(node, peer + 1));
	if (from < to)
		dsm_copy_drop(region, from, to - 1);
	dsm_region_put(region);
	return true;
}

static void dsm_node_region_gone(struct dsm_node *node, u64 id)
{
	struct dsm_region *region = dsm_region_find(node, id);

	if (!region)
		return;
	dsm_node_end_region(node, region);
	dsm_region_put(region);
}

static void dsm_node_region_ended(struct dsm_node *node, u64 id)
{
	struct dsm_region *region = dsm_region_find(node, id);

	if (!region)
		return;
	dsm_node_recheck(node, region);
	dsm_region_put(region);
}

static void dsm_node_region_news(struct dsm_node *node, u64 id)
{
	struct dsm_region *region = dsm_region_find(node, id);

	if (!region)
		return;
	dsm_region_news(region);
	dsm_region_put(region);
}

/* ---- allocating on a node ---- */

static int dsm_node_alloc_here(struct dsm_region *region, struct dsm_ref *ref,
			       unsigned long end)
{
	int err;

	if (!ref->size || ref->size > region->node->config.geometry.span)
		return -EINVAL;
	if (ref->size <= DSM_MAX_LINES * DSM_LINE_SIZE)
		return dsm_room_small(region, ref, end);
	err = dsm_room_object(region, ref, end);
	if (!err)
		dsm_object_end(region, ref);
	return err;
}

/**
 * dsm_node_alloc() - allocate an object of zeroes on a node
 * @region: that it will belong to
 * @home: the node, from user space
 * @ref: in: size; out: the handle; nobody borrows it
 *
 * Context: process, killable.
 * Return: 0, -EINVAL, -ENOENT (no such node), -ENOSPC, -ENOMEM, -EIDRM, -EHOSTDOWN,
 * -EINTR.
 */
int dsm_node_alloc(struct dsm_region *region, u32 home, struct dsm_ref *ref)
{
	struct dsm_node *node = region->node;
	struct dsm_wire_alloc wire = {
		.region = cpu_to_le64(region->id),
		.size = cpu_to_le64(ref->size),
	};
	struct dsm_wire_message *reply;
	unsigned int tries;
	int err;

	if (home >= DSM_MAX_NODES || !node->links[home])
		return -ENOENT;
	if (home == node->id)
		return dsm_node_alloc_here(region, ref, 0);
	if (!ref->size || ref->size > node->config.geometry.span)
		return -EINVAL;
	reply = kzalloc(sizeof(*reply), GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	strscpy(wire.name, region->name, sizeof(wire.name));
	/* It takes part after part of the memory that it needs. */
	for (tries = 0, err = -EAGAIN; err == -EAGAIN && tries < DSM_ALLOC_TRIES; tries++)
		err = dsm_link_call(node->links[home], DSM_MSG_ALLOC, &wire, sizeof(wire),
				    reply);
	if (err == -EAGAIN)
		err = -EHOSTDOWN;
	if (!err && le16_to_cpu(reply->head.len) != sizeof(wire))
		err = -EPROTO;
	if (err)
		goto free;
	ref->addr = le64_to_cpu(reply->alloc.addr);
	ref->version = le64_to_cpu(reply->alloc.version);
	/* Less than was asked for would be taken for more. */
	if (le64_to_cpu(reply->alloc.size) < ref->size)
		err = -EPROTO;
	ref->size = le64_to_cpu(reply->alloc.size);
	if (dsm_ref_check(node, ref) || dsm_ref_home(node, ref) != home)
		err = -EPROTO;
free:
	kfree(reply);
	return err;
}

/* A peer wants an object of ours. */
static int dsm_node_alloc_for(struct dsm_node *node, const struct dsm_wire_alloc *in,
			      struct dsm_wire_alloc *out)
{
	struct dsm_ref ref = { .size = le64_to_cpu(in->size) };
	struct dsm_region *region;
	int err;

	if (strnlen(in->name, DSM_NAME_BYTES) == DSM_NAME_BYTES)
		return -EINVAL;
	/* Perhaps no process of this node has attached to it yet. */
	region = dsm_region_find(node, le64_to_cpu(in->region)) ?:
		 dsm_region_open(node, in->name);
	if (IS_ERR(region))
		return PTR_ERR(region);
	/* Not longer than the peer waits for an answer. */
	err = -EIDRM;
	if (region->id == le64_to_cpu(in->region))
		err = dsm_node_alloc_here(region, &ref,
					  jiffies + msecs_to_jiffies(DSM_ALLOC_MS));
	dsm_region_put(region);
	*out = *in;
	out->addr = cpu_to_le64(ref.addr);
	out->version = cpu_to_le64(ref.version);
	out->size = cpu_to_le64(ref.size);
	return err;
}

/* ---- peers ---- */

static void dsm_node_request(struct dsm_node *node, u32 peer,
			     struct dsm_session *session,
			     const struct dsm_wire_message *message)
{
	unsigned int type = le16_to_cpu(message->head.type);
	unsigned int len = le16_to_cpu(message->head.len);
	struct dsm_wire_region region = {};
	struct dsm_wire_name name = {};
	struct dsm_wire_alloc alloc = {};

	switch (type) {
	case DSM_MSG_REGION_CREATE:
	case DSM_MSG_REGION_FIND:
	case DSM_MSG_REGION_CHECK:
	case DSM_MSG_REGION_REMOVE:
	case DSM_MSG_REGION_NEXT:
	case DSM_MSG_REGION_RESTORE:
		if (len != sizeof(message->region))
			break;
		dsm_session_reply(session, message,
				  dsm_registrar_region(node, type, &message->region,
						       &region),
				  &region, sizeof(region));
		return;
	case DSM_MSG_REGION_GONE:
		/* Only the registrar removes. */
		if (len != sizeof(message->region) ||
		    le64_to_cpu(message->region.id) >> DSM_ID_NODE_SHIFT != peer)
			break;
		dsm_node_region_gone(node, le64_to_cpu(message->region.id));
		dsm_session_reply(session, message, 0, NULL, 0);
		return;
	case DSM_MSG_REGION_ENDED:
		if (len != sizeof(message->region))
			break;
		dsm_node_region_ended(node, le64_to_cpu(message->region.id));
		dsm_session_reply(session, message, 0, NULL, 0);
		return;
	case DSM_MSG_REVOKE:
		if (len != sizeof(message->revoke) ||
		    !dsm_node_revoked(node, peer, &message->revoke))
			break;
		dsm_session_reply(session, message, 0, NULL, 0);
		return;
	case DSM_MSG_NAME_NEWS:
		if (len != sizeof(message->region))
			break;
		dsm_node_region_news(node, le64_to_cpu(message->region.id));
		dsm_session_reply(session, message, 0, NULL, 0);
		return;
	case DSM_MSG_NAME_PUBLISH:
	case DSM_MSG_NAME_LOOKUP:
		if (len != sizeof(message->name))
			break;
		dsm_session_reply(session, message,
				  dsm_registrar_name(node, peer, type, &message->name,
						     &name),
				  &name, sizeof(name));
		return;
	case DSM_MSG_ALLOC:
		if (len != sizeof(message->alloc))
			break;
		dsm_session_reply(session, message,
				  dsm_node_alloc_for(node, &message->alloc, &alloc),
				  &alloc, sizeof(alloc));
		return;
	}
	dsm_session_refuse(session, message, -EPROTO, "malformed request");
}

/* A region may have been removed while its registrar could not tell us. */
static void dsm_node_recheck_work(struct work_struct *work)
{
	struct dsm_node *node = container_of(to_delayed_work(work), struct dsm_node, recheck);
	struct dsm_region *region;
	unsigned long index = 0;

	while ((region = dsm_region_next(node, &index))) {
		dsm_node_recheck(node, region);
		dsm_region_put(region);
	}
}

static void dsm_node_peer_up(struct dsm_node *node, u32 peer, bool reborn)
{
	if (reborn) {
		dsm_copy_drop_home(node, peer);
		/* Its earlier life is over, and so are the queue pairs of that. */
		dsm_claimed_sweep(node, peer);
	}
	if (!xa_empty(&node->regions.table))
		queue_delayed_work(node->wq, &node->recheck,
				   msecs_to_jiffies(DSM_RECHECK_MS));
}

static int dsm_node_cm_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct dsm_node *node = id->context;

	if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST)
		return dsm_handshake_accept(node, id, event);
	return 0;
}

/* ---- up ---- */

static int dsm_node_listen(struct dsm_node *node)
{
	struct sockaddr *addr = (struct sockaddr *)&node->config.members[node->id].addr;
	const struct ib_device_attr *attrs;
	int err;

	node->listener = rdma_create_id(&init_net, dsm_node_cm_event, node,
					RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(node->listener)) {
		err = PTR_ERR(node->listener);
		node->listener = NULL;
		return err;
	}
	err = rdma_bind_addr(node->listener, addr);
	if (err == -EADDRNOTAVAIL || (!err && !node->listener->device))
		err = -ENODEV;
	if (err)
		return err;
	node->device = node->listener->device;
	/* One that is going away would not be told to us any more. */
	if (!ib_get_client_data(node->device, &dsm_client))
		return -ENODEV;
	attrs = &node->device->attrs;
	if (attrs->atomic_cap == IB_ATOMIC_NONE ||
	    attrs->max_fast_reg_page_list_len < DSM_MR_MAX_PAGES ||
	    !(attrs->device_cap_flags & IB_DEVICE_MEM_MGT_EXTENSIONS))
		return -EOPNOTSUPP;
	node->max_sge = min3(attrs->max_send_sge, attrs->max_sge_rd ?: 1,
			     (int)DSM_READ_PAGES);
	node->reads_in_flight = min3(attrs->max_qp_rd_atom, attrs->max_qp_init_rd_atom,
				     (int)DSM_READS_IN_FLIGHT);
	node->pd = ib_alloc_pd(node->device, 0);
	if (IS_ERR(node->pd)) {
		err = PTR_ERR(node->pd);
		node->pd = NULL;
		return err;
	}
	return rdma_listen(node->listener, DSM_LISTEN_BACKLOG);
}

static int dsm_node_link_self(struct dsm_node *node)
{
	struct dsm_link *link;

	link = dsm_link_alloc(node, node->id, false);
	WRITE_ONCE(node->loop, link);
	if (!link)
		return -ENOMEM;
	link = dsm_link_alloc(node, node->id, true);
	node->links[node->id] = link;
	if (!link)
		return -ENOMEM;
	dsm_link_start(link);
	if (!wait_event_timeout(link->changed, READ_ONCE(link->state) == DSM_LINK_UP,
				msecs_to_jiffies(DSM_SELF_LINK_MS)))
		return -EHOSTDOWN;
	return 0;
}

static int dsm_node_link_peers(struct dsm_node *node)
{
	unsigned int i;

	for (i = 0; i < DSM_MAX_NODES; i++) {
		if (i == node->id || !node->config.members[i].present)
			continue;
		node->links[i] = dsm_link_alloc(node, i, node->id < i);
		if (!node->links[i])
			return -ENOMEM;
	}
	/* One peer's request may need the link to another.  Pairs with who accepts. */
	smp_store_release(&node->linked, true);
	for (i = 0; i < DSM_MAX_NODES; i++)
		if (i != node->id && node->links[i])
			dsm_link_start(node->links[i]);
	return 0;
}

static void dsm_node_users_drained(struct percpu_ref *ref)
{
	complete(&container_of(ref, struct dsm_node, users)->drained);
}

static void dsm_node_teardown(struct dsm_node *node)
{
	struct dsm_region *region;
	unsigned long index = 0;
	unsigned int i;

	WRITE_ONCE(node->down, true);
	if (node->listener)
		rdma_destroy_id(node->listener);
	/* Waits for names end. */
	while ((region = dsm_region_next(node, &index))) {
		WRITE_ONCE(region->gone, true);
		wake_up_all(&region->news);
		dsm_region_put(region);
	}
	/* Waits for peers end. */
	for (i = 0; i < DSM_MAX_NODES; i++)
		if (node->links[i])
			dsm_link_shut(node->links[i]);
	if (node->loop)
		dsm_link_shut(node->loop);
	for (i = 0; i < DSM_MAX_NODES; i++)
		if (node->links[i])
			dsm_link_stop(node->links[i]);
	if (node->loop)
		dsm_link_stop(node->loop);
	percpu_ref_kill(&node->users);
	wait_for_completion(&node->drained);
	dsm_claims_stop(node);
	cancel_delayed_work_sync(&node->recheck);

	index = 0;
	while ((region = dsm_region_next(node, &index))) {
		dsm_node_end_region(node, region);
		dsm_region_put(region);
	}
	/* Works of the first two wait for works of the last. */
	if (node->ends)
		destroy_workqueue(node->ends);
	if (node->wq)
		destroy_workqueue(node->wq);
	if (node->calls)
		destroy_workqueue(node->calls);
	dsm_copies_free(node);
	dsm_dir_free(node);
	for (i = 0; i < DSM_MAX_NODES; i++) {
		dsm_link_free(node->links[i]);
		node->links[i] = NULL;
	}
	dsm_link_free(node->loop);
	dsm_chunks_free(node);
	dsm_registrar_free(node);
	if (node->pd)
		ib_dealloc_pd(node->pd);
	if (!IS_ERR_OR_NULL(node->tfm))
		dsm_auth_free(node->tfm);
}

/**
 * dsm_node_up() - bring a node up
 * @config: checked for what can be checked without a device
 *
 * Context: process; takes some milliseconds, some seconds if it fails.
 * Return: the node, which the caller owns a reference to, or ERR_PTR: -ENODEV (no
 * RDMA device has the address), -EOPNOTSUPP (the device cannot do what is needed),
 * -EADDRINUSE, -EBUSY (a node of that id is up), -EHOSTDOWN (no connection to
 * itself), -ENOMEM, or an error of the RDMA core.
 */
struct dsm_node *dsm_node_up(const struct dsm_node_config *config)
{
	struct dsm_node *node, *other;
	int err;

	node = kvzalloc(sizeof(*node), GFP_KERNEL);
	if (!node)
		return ERR_PTR(-ENOMEM);
	node->config = *config;
	node->id = config->id;
	node->request = dsm_node_request;
	node->peer_up = dsm_node_peer_up;
	node->region_gone = dsm_node_region_gone;
	node->region_news = dsm_node_region_news;
	kref_init(&node->ref);
	init_completion(&node->drained);
	INIT_LIST_HEAD(&node->list);
	INIT_DELAYED_WORK(&node->recheck, dsm_node_recheck_work);
	dsm_regions_init(node, dsm_node_release_work);
	dsm_registrar_init(node);
	dsm_room_init(node);
	err = percpu_ref_init(&node->users, dsm_node_users_drained, 0, GFP_KERNEL);
	if (err) {
		kvfree(node);
		return ERR_PTR(err);
	}
	node->stat = alloc_percpu(struct dsm_stat);
	if (!node->stat) {
		percpu_ref_exit(&node->users);
		kvfree(node);
		return ERR_PTR(-ENOMEM);
	}

	mutex_lock(&dsm_nodes_change);
	node->born = dsm_clock();
	err = dsm_chunks_alloc(node, config->memory >> DSM_CHUNK_SHIFT);
	if (err)
		goto teardown;
	other = dsm_node_find(node->id);
	if (other) {
		dsm_node_put(other);
		err = -EBUSY;
		goto teardown;
	}
	node->tfm = dsm_auth_alloc(node->config.key, DSM_KEY_BYTES);
	if (IS_ERR(node->tfm)) {
		err = PTR_ERR(node->tfm);
		goto teardown;
	}
	err = -ENOMEM;
	node->wq = alloc_workqueue("dsm-%u", WQ_UNBOUND, 0, node->id);
	node->calls = alloc_workqueue("dsm-%u-calls", WQ_UNBOUND, 0, node->id);
	node->ends = alloc_workqueue("dsm-%u-ends", WQ_UNBOUND, DSM_MAX_ENDS, node->id);
	if (!node->wq || !node->calls || !node->ends)
		goto teardown;
	err = dsm_copies_alloc(node, config->cache >> PAGE_SHIFT) ?: dsm_claims_init(node);
	if (err)
		goto teardown;
	err = dsm_node_listen(node);
	if (err)
		goto teardown;
	err = dsm_node_link_self(node);
	if (err)
		goto teardown;
	err = dsm_dir_alloc(node, node->chunks.nr);
	if (err)
		goto teardown;
	err = dsm_node_link_peers(node);
	if (err)
		goto teardown;
	spin_lock(&dsm_nodes_lock);
	list_add_tail(&node->list, &dsm_nodes);
	spin_unlock(&dsm_nodes_lock);
	mutex_unlock(&dsm_nodes_change);
	pr_info("node %u is up on %s\n", node->id, node->device->name);
	return node;

teardown:
	dsm_node_teardown(node);
	mutex_unlock(&dsm_nodes_change);
	dsm_node_put(node);
	return ERR_PTR(err);
}

/**
 * dsm_node_down() - take a node down
 * @node: nothing happens if it is down already
 * @force: even if processes are attached; they get SIGBUS
 *
 * Context: process; waits for all that is under way, some seconds at the most.
 * Return: 0 or -EBUSY.
 */
int dsm_node_down(struct dsm_node *node, bool force)
{
	int err = 0;

	mutex_lock(&dsm_nodes_change);
	if (READ_ONCE(node->down))
		goto unlock;
	WRITE_ONCE(node->down, true);
	/* Pairs with dsm_file_count(): either it sees this or we see its count. */
	smp_mb();
	if (!force && atomic_read(&node->attached)) {
		WRITE_ONCE(node->down, false);
		err = -EBUSY;
		goto unlock;
	}
	spin_lock(&dsm_nodes_lock);
	list_del_init(&node->list);
	spin_unlock(&dsm_nodes_lock);
	dsm_node_teardown(node);
	pr_info("node %u is down\n", node->id);
unlock:
	mutex_unlock(&dsm_nodes_change);
	return err;
}

/**
 * dsm_node_fence() - a peer is dead: refuse it until it comes with a new epoch
 * @node: ours
 * @peer: the dead one
 * @epoch: below which it is refused
 *
 * Context: process; when it returns all queue pairs with the peer are gone.
 */
void dsm_node_fence(struct dsm_node *node, u32 peer, u64 epoch)
{
	if (!dsm_node_enter(node))
		return;
	WRITE_ONCE(node->config.epoch, epoch);
	WRITE_ONCE(node->config.members[peer].min_epoch, epoch);
	if (node->links[peer]) {
		dsm_link_reset(node->links[peer], true);
		dsm_claimed_sweep(node, peer);
	}
	dsm_node_leave(node);
}

/* ---- devices ---- */

static int dsm_device_add(struct ib_device *device)
{
	ib_set_client_data(device, &dsm_client, device);
	return 0;
}

static void dsm_device_remove(struct ib_device *device, void *data)
{
	struct dsm_node *node, *found;

	/* No node begins on it any more, see dsm_node_listen(). */
	mutex_lock(&dsm_nodes_change);
	ib_set_client_data(device, &dsm_client, NULL);
	mutex_unlock(&dsm_nodes_change);
	do {
		found = NULL;
		spin_lock(&dsm_nodes_lock);
		list_for_each_entry(node, &dsm_nodes, list) {
			if (node->device == device) {
				found = node;
				kref_get(&found->ref);
				break;
			}
		}
		spin_unlock(&dsm_nodes_lock);
		if (found) {
			pr_warn("node %u: its device %s goes away\n", found->id,
				device->name);
			dsm_node_down(found, true);
			dsm_node_put(found);
		}
	} while (found);
}

static struct ib_client dsm_client = {
	.name = "dsm",
	.add = dsm_device_add,
	.remove = dsm_device_remove,
};

int dsm_node_init(void)
{
	return ib_register_client(&dsm_client);
}

void dsm_node_exit(void)
{
	ib_unregister_client(&dsm_client);
}
