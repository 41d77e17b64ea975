// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registrar of a region keeps its record and its named handles.  Which node
 * that is follows from the name and the node list, so every node knows it.
 */
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/slab.h>
#include <linux/stringhash.h>
#include "node.h"
#include "registrar.h"

enum { DSM_NAME_HASH_BITS = 8 };

struct dsm_record {
	struct list_head list;
	u64 id;
	u32 uid;
	u32 gid;
	u32 mode;
	u32 nr_names;
	char name[DSM_NAME_BYTES];
	DECLARE_HASHTABLE(names, DSM_NAME_HASH_BITS);
	DECLARE_BITMAP(watchers, DSM_MAX_NODES);	/* nodes that wait for a name */
};

struct dsm_named {
	struct hlist_node hash;
	struct dsm_wire_name wire;
};

struct dsm_news {
	struct work_struct work;
	struct dsm_node *node;
	struct dsm_wire_region region;
	DECLARE_BITMAP(nodes, DSM_MAX_NODES);
};

/**
 * dsm_registrar_of() - the node that keeps the record of a name
 * @node: ours
 * @name: of a region
 *
 * Return: the registrar's id.
 */
u32 dsm_registrar_of(const struct dsm_node *node, const char *name)
{
	u32 ids[DSM_MAX_NODES], nr = 0, i;

	for (i = 0; i < DSM_MAX_NODES; i++)
		if (node->config.members[i].present)
			ids[nr++] = i;
	return ids[jhash(name, strlen(name), 0) % nr];
}

static struct dsm_record *dsm_record_by_name(struct dsm_registrar *r, const char *name)
{
	struct dsm_record *record;

	list_for_each_entry(record, &r->records, list)
		if (!strcmp(record->name, name))
			return record;
	return NULL;
}

static struct dsm_record *dsm_record_by_id(struct dsm_registrar *r, u64 id)
{
	struct dsm_record *record;

	list_for_each_entry(record, &r->records, list)
		if (record->id == id)
			return record;
	return NULL;
}

static void dsm_record_free(struct dsm_registrar *r, struct dsm_record *record)
{
	struct hlist_node *next;
	struct dsm_named *named;
	unsigned int i;

	hash_for_each_safe(record->names, i, next, named, hash) {
		hash_del(&named->hash);
		kfree(named);
	}
	list_del(&record->list);
	r->nr--;
	kfree(record);
}

void dsm_registrar_init(struct dsm_node *node)
{
	mutex_init(&node->registrar.lock);
	INIT_LIST_HEAD(&node->registrar.records);
}

void dsm_registrar_free(struct dsm_node *node)
{
	struct dsm_record *record, *next;

	list_for_each_entry_safe(record, next, &node->registrar.records, list)
		dsm_record_free(&node->registrar, record);
}

/* Names come from user space and from peers: both are checked here. */
static bool dsm_name_valid(const char *name)
{
	size_t len = strnlen(name, DSM_NAME_BYTES);

	return len && len < DSM_NAME_BYTES;
}

/* Does a named handle lie in the range? */
static int dsm_name_place(const struct dsm_node *node, const struct dsm_wire_name *wire)
{
	const struct dsm_geometry *geometry = &node->config.geometry;
	u64 offset = le64_to_cpu(wire->addr) - geometry->base;
	u64 size = le64_to_cpu(wire->size);

	if (offset >= geometry->span || size > geometry->span - offset)
		return -ERANGE;
	return size ? 0 : -EINVAL;
}

static void dsm_record_show(const struct dsm_record *record, struct dsm_wire_region *out)
{
	memset(out, 0, sizeof(*out));
	out->id = cpu_to_le64(record->id);
	out->uid = cpu_to_le32(record->uid);
	out->gid = cpu_to_le32(record->gid);
	out->mode = cpu_to_le32(record->mode);
	out->nr_names = cpu_to_le32(record->nr_names);
	strscpy(out->name, record->name, sizeof(out->name));
}

static int dsm_record_add(struct dsm_registrar *r, u64 id,
			  const struct dsm_wire_region *in, struct dsm_wire_region *out)
{
	struct dsm_record *record, *behind;

	if (dsm_record_by_name(r, in->name))
		return -EEXIST;
	if (r->nr >= DSM_MAX_REGIONS)
		return -ENOSPC;
	record = kzalloc(sizeof(*record), GFP_KERNEL);
	if (!record)
		return -ENOMEM;
	record->id = id;
	record->uid = le32_to_cpu(in->uid);
	record->gid = le32_to_cpu(in->gid);
	record->mode = le32_to_cpu(in->mode) & 0777;
	strscpy(record->name, in->name, sizeof(record->name));
	hash_init(record->names);
	list_for_each_entry(behind, &r->records, list)
		if (behind->id > id)
			break;
	list_add_tail(&record->list, &behind->list);
	r->nr++;
	dsm_record_show(record, out);
	return 0;
}

/* Never used again: of this node, above all ids of its earlier lives. */
static u64 dsm_record_next_id(const struct dsm_node *node)
{
	u64 clock = dsm_clock() & (BIT_ULL(DSM_ID_NODE_SHIFT) - 1);

	return max(node->registrar.last_id + 1, clock);
}

static int dsm_record_create(struct dsm_node *node, const struct dsm_wire_region *in,
			     struct dsm_wire_region *out)
{
	struct dsm_registrar *r = &node->registrar;

	r->last_id = dsm_record_next_id(node);
	return dsm_record_add(r, ((u64)node->id << DSM_ID_NODE_SHIFT) | r->last_id, in,
			      out);
}

/* A node still has a region that we kept in an earlier life; the names are lost. */
static int dsm_record_restore(struct dsm_node *node, const struct dsm_wire_region *in,
			      struct dsm_wire_region *out)
{
	struct dsm_registrar *r = &node->registrar;
	u64 id = le64_to_cpu(in->id);
	struct dsm_record *record = dsm_record_by_id(r, id);

	/* None that is still to be given out. */
	if (id >> DSM_ID_NODE_SHIFT != node->id ||
	    (id & (BIT_ULL(DSM_ID_NODE_SHIFT) - 1)) >= dsm_record_next_id(node) ||
	    dsm_registrar_of(node, in->name) != node->id)
		return -EINVAL;
	if (!record)
		return dsm_record_add(r, id, in, out);
	dsm_record_show(record, out);
	return strcmp(record->name, in->name) ? -EEXIST : 0;
}

/**
 * dsm_registrar_region() - carry out a request about regions
 * @node: the registrar, ours
 * @type: DSM_MSG_REGION_CREATE to DSM_MSG_REGION_RESTORE
 * @in: the request, from a process of ours or from a peer
 * @out: the answer
 *
 * Context: process; _REMOVE waits until every node that can be reached has
 * stopped using the region.
 * Return: 0, -EINVAL, -EEXIST, -ENOENT, -EPERM, -ENOSPC, -ENOMEM.
 */
int dsm_registrar_region(struct dsm_node *node, enum dsm_wire_type type,
			 const struct dsm_wire_region *in, struct dsm_wire_region *out)
{
	struct dsm_registrar *r = &node->registrar;
	struct dsm_record *record = NULL;
	int err = 0;

	if ((type == DSM_MSG_REGION_CREATE || type == DSM_MSG_REGION_FIND ||
	     type == DSM_MSG_REGION_REMOVE || type == DSM_MSG_REGION_RESTORE) &&
	    !dsm_name_valid(in->name))
		return -EINVAL;
	if (in->reserved || le32_to_cpu(in->flags) & ~DSM_WIRE_ADMIN)
		return -EINVAL;

	mutex_lock(&r->lock);
	switch (type) {
	case DSM_MSG_REGION_CREATE:
		err = dsm_record_create(node, in, out);
		break;
	case DSM_MSG_REGION_RESTORE:
		err = dsm_record_restore(node, in, out);
		break;
	case DSM_MSG_REGION_FIND:
		record = dsm_record_by_name(r, in->name);
		break;
	case DSM_MSG_REGION_CHECK:
		record = dsm_record_by_id(r, le64_to_cpu(in->id));
		break;
	case DSM_MSG_REGION_NEXT:
		list_for_each_entry(record, &r->records, list)
			if (record->id > le64_to_cpu(in->cursor))
				break;
		if (list_entry_is_head(record, &r->records, list))
			record = NULL;
		break;
	case DSM_MSG_REGION_REMOVE:
		record = dsm_record_by_name(r, in->name);
		if (record && le32_to_cpu(in->uid) != record->uid &&
		    !(le32_to_cpu(in->flags) & DSM_WIRE_ADMIN))
			err = -EPERM;
		break;
	default:
		err = -EINVAL;
		break;
	}
	if (!err && type != DSM_MSG_REGION_CREATE && type != DSM_MSG_REGION_RESTORE) {
		if (record)
			dsm_record_show(record, out);
		else
			err = -ENOENT;
		if (!err && type == DSM_MSG_REGION_REMOVE)
			dsm_record_free(r, record);
	}
	mutex_unlock(&r->lock);

	if (!err && type == DSM_MSG_REGION_REMOVE) {
		dsm_link_call_all(node, DSM_MSG_REGION_GONE, out, sizeof(*out), NULL);
		node->region_gone(node, le64_to_cpu(out->id));
	}
	return err;
}

/* ---- named handles ---- */

static struct dsm_named *dsm_named_find(struct dsm_record *record, const char *name)
{
	u32 hash = full_name_hash(NULL, name, strlen(name));
	struct dsm_named *named;

	hash_for_each_possible(record->names, named, hash, hash)
		if (!strcmp(named->wire.name, name))
			return named;
	return NULL;
}

static void dsm_news_work(struct work_struct *work)
{
	struct dsm_news *news = container_of(work, struct dsm_news, work);
	struct dsm_node *node = news->node;
	unsigned int i;

	for_each_set_bit(i, news->nodes, DSM_MAX_NODES) {
		if (i == node->id)
			node->region_news(node, le64_to_cpu(news->region.id));
		else if (node->links[i])
			dsm_link_call(node->links[i], DSM_MSG_NAME_NEWS,
				      &news->region, sizeof(news->region), NULL);
	}
	kfree(news);
}

/* Tell the nodes that wait.  If it cannot be told they ask again by themselves. */
static void dsm_record_news(struct dsm_node *node, struct dsm_record *record)
{
	struct dsm_news *news;

	if (bitmap_empty(record->watchers, DSM_MAX_NODES))
		return;
	news = kzalloc(sizeof(*news), GFP_KERNEL);
	if (!news)
		return;
	INIT_WORK(&news->work, dsm_news_work);
	news->node = node;
	dsm_record_show(record, &news->region);
	bitmap_copy(news->nodes, record->watchers, DSM_MAX_NODES);
	bitmap_zero(record->watchers, DSM_MAX_NODES);
	queue_work(node->wq, &news->work);
}

static int dsm_record_publish(struct dsm_node *node, struct dsm_record *record,
			      const struct dsm_wire_name *in)
{
	struct dsm_named *named;

	named = dsm_named_find(record, in->name);
	if (named && !(le32_to_cpu(in->flags) & DSM_WIRE_ANEW))
		return -EEXIST;
	if (named) {
		named->wire = *in;
		named->wire.flags = 0;
		return 0;
	}
	if (record->nr_names >= DSM_MAX_NAMES)
		return -ENOSPC;
	named = kzalloc(sizeof(*named), GFP_KERNEL);
	if (!named)
		return -ENOMEM;
	named->wire = *in;
	named->wire.flags = 0;
	hash_add(record->names, &named->hash,
		 full_name_hash(NULL, in->name, strlen(in->name)));
	record->nr_names++;
	dsm_record_news(node, record);
	return 0;
}

/**
 * dsm_registrar_name() - carry out a request about named handles
 * @node: the registrar, ours
 * @from: node that asks
 * @type: DSM_MSG_NAME_PUBLISH or DSM_MSG_NAME_LOOKUP
 * @in: the request
 * @out: the answer
 *
 * Return: 0, -EINVAL, -EIDRM (no such region), -EEXIST, -ENOENT, -ENOSPC, -ENOMEM;
 * _PUBLISH also -ERANGE.
 */
int dsm_registrar_name(struct dsm_node *node, u32 from, enum dsm_wire_type type,
		       const struct dsm_wire_name *in, struct dsm_wire_name *out)
{
	struct dsm_registrar *r = &node->registrar;
	struct dsm_record *record;
	struct dsm_named *named;
	int err = 0;

	if (!dsm_name_valid(in->name) || in->reserved ||
	    le32_to_cpu(in->flags) & ~(type == DSM_MSG_NAME_PUBLISH ? DSM_WIRE_ANEW :
				       DSM_WIRE_WATCH | DSM_WIRE_TAKE))
		return -EINVAL;
	if (type == DSM_MSG_NAME_PUBLISH)
		err = dsm_name_place(node, in);
	if (err)
		return err;
	memset(out, 0, sizeof(*out));
	mutex_lock(&r->lock);
	record = dsm_record_by_id(r, le64_to_cpu(in->region));
	if (!record) {
		err = -EIDRM;
	} else if (type == DSM_MSG_NAME_PUBLISH) {
		err = dsm_record_publish(node, record, in);
	} else {
		named = dsm_named_find(record, in->name);
		if (named) {
			*out = named->wire;
			if (le32_to_cpu(in->flags) & DSM_WIRE_TAKE) {
				hash_del(&named->hash);
				kfree(named);
				record->nr_names--;
			}
		} else {
			err = -ENOENT;
			if (le32_to_cpu(in->flags) & DSM_WIRE_WATCH)
				set_bit(from, record->watchers);
		}
	}
	mutex_unlock(&r->lock);
	return err;
}

/* ---- asking, wherever the registrar is ---- */

/* A registrar speaks of its own regions, and of the one it was asked about. */
static bool dsm_registrar_answers(u32 registrar, enum dsm_wire_type type,
				  const struct dsm_wire_region *in,
				  const struct dsm_wire_region *out)
{
	u64 id = le64_to_cpu(out->id);

	if (!dsm_name_valid(out->name) || id >> DSM_ID_NODE_SHIFT != registrar ||
	    out->reserved)
		return false;
	switch (type) {
	case DSM_MSG_REGION_CHECK:
		return out->id == in->id;
	case DSM_MSG_REGION_NEXT:
		return id > le64_to_cpu(in->cursor);
	default:
		return !strcmp(out->name, in->name);
	}
}

/**
 * dsm_registrar_ask_region() - have the registrar carry out a request
 * @node: ours
 * @registrar: any node of the cluster
 * @type: as dsm_registrar_region()
 * @in: the request
 * @out: the answer
 *
 * Context: process; killable.
 * Return: as dsm_registrar_region(), -EHOSTDOWN, -EINTR, -EPROTO.
 */
int dsm_registrar_ask_region(struct dsm_node *node, u32 registrar,
			     enum dsm_wire_type type,
			     const struct dsm_wire_region *in,
			     struct dsm_wire_region *out)
{
	struct dsm_wire_message *reply;
	int err;

	if (registrar == node->id)
		return dsm_registrar_region(node, type, in, out);
	reply = kzalloc(sizeof(*reply), GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	err = dsm_link_call(node->links[registrar], type, in, sizeof(*in), reply);
	if (!err && (le16_to_cpu(reply->head.len) != sizeof(*out) ||
		     !dsm_registrar_answers(registrar, type, in, &reply->region)))
		err = -EPROTO;
	if (!err)
		*out = reply->region;
	kfree(reply);
	return err;
}

/**
 * dsm_registrar_ask_name() - the same for named handles
 * @node: ours
 * @registrar: any node of the cluster
 * @type: as dsm_registrar_name()
 * @in: the request
 * @out: the answer
 *
 * Return: as dsm_registrar_name(), -EHOSTDOWN, -EINTR, -EPROTO.
 */
int dsm_registrar_ask_name(struct dsm_node *node, u32 registrar,
			   enum dsm_wire_type type,
			   const struct dsm_wire_name *in, struct dsm_wire_name *out)
{
	struct dsm_wire_message *reply;
	int err;

	if (registrar == node->id)
		return dsm_registrar_name(node, node->id, type, in, out);
	reply = kzalloc(sizeof(*reply), GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	err = dsm_link_call(node->links[registrar], type, in, sizeof(*in), reply);
	if (!err && (le16_to_cpu(reply->head.len) != sizeof(*out) ||
		     (type == DSM_MSG_NAME_LOOKUP &&
		      dsm_name_place(node, &reply->name))))
		err = -EPROTO;
	if (!err)
		*out = reply->name;
	kfree(reply);
	return err;
}
