// SPDX-License-Identifier: GPL-2.0-only
/*
 * The configuration in configfs, the same on all hosts but for which nodes are
 * local:
 *
 *	dsm/<cluster>/{base,span,max_nodes,key,epoch}
 *	dsm/<cluster>/nodes/<id>/{addr,port,local,memory,cache,up,fence,links}
 *
 * While a local node is up the rest of it is fixed, but for epoch and fence.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/configfs.h>
#include <linux/crc32.h>
#include <linux/inet.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "config.h"
#include "node.h"

#define DSM_DEFAULT_BASE	0x200000000000ULL
#define DSM_DEFAULT_SPAN	(32ULL << 40)
#define DSM_DEFAULT_MEMORY	(1024ULL << 20)
#define DSM_DEFAULT_CACHE	(256ULL << 20)
#define DSM_MIN_CACHE		(256ULL << 10)

struct dsm_cluster;

struct dsm_config_node {
	struct config_group group;
	struct dsm_cluster *cluster;
	u32 id;
	bool has_addr;
	bool local;
	u16 port;
	u64 memory;
	u64 cache;
	struct sockaddr_storage addr;
	struct dsm_node *node;		/* while it is up */
};

struct dsm_cluster {
	struct config_group group;
	struct config_group nodes_group;
	u64 base;
	u64 span;
	u32 max_nodes;
	u64 epoch;
	bool has_key;
	u8 key[DSM_KEY_BYTES];
	struct dsm_config_node *nodes[DSM_MAX_NODES];
	u64 min_epoch[DSM_MAX_NODES];	/* of the fenced, even if their directory goes */
};

/* One range, one device file: one cluster in a kernel. */
static struct dsm_cluster *dsm_cluster;
/* Protects dsm_cluster and all below it. */
static DEFINE_MUTEX(dsm_config_lock);

static struct dsm_cluster *to_config_cluster(struct config_item *item)
{
	return container_of(to_config_group(item), struct dsm_cluster, group);
}

static struct dsm_config_node *to_config_node(struct config_item *item)
{
	return container_of(to_config_group(item), struct dsm_config_node, group);
}

static bool dsm_config_node_is_up(const struct dsm_config_node *n)
{
	return n->node && !READ_ONCE(n->node->down);
}

static bool dsm_cluster_is_up(const struct dsm_cluster *cluster)
{
	unsigned int i;

	for (i = 0; i < DSM_MAX_NODES; i++)
		if (cluster->nodes[i] && dsm_config_node_is_up(cluster->nodes[i]))
			return true;
	return false;
}

static void dsm_cluster_geometry(struct dsm_cluster *cluster,
				 struct dsm_geometry *geometry)
{
	const char *name = config_item_name(&cluster->group.cg_item);
	__le64 numbers[3] = {
		cpu_to_le64(cluster->base),
		cpu_to_le64(cluster->span),
		cpu_to_le64(cluster->max_nodes),
	};

	geometry->base = cluster->base;
	geometry->span = cluster->span;
	geometry->max_nodes = cluster->max_nodes;
	geometry->partition_shift = ilog2(cluster->span / cluster->max_nodes);
	geometry->crc = crc32_le(crc32_le(~0, name, strlen(name)),
				 (const u8 *)numbers, sizeof(numbers));
}

/**
 * dsm_config_info() - what is configured, for DSM_IOC_INFO
 * @info: out: all but @abi and @local
 *
 * Return: 0 or -ENODEV.
 */
int dsm_config_info(struct dsm_info *info)
{
	struct dsm_geometry geometry;
	unsigned int i;
	int err = -ENODEV;

	mutex_lock(&dsm_config_lock);
	if (dsm_cluster) {
		dsm_cluster_geometry(dsm_cluster, &geometry);
		info->base = geometry.base;
		info->span = geometry.span;
		info->partition_shift = geometry.partition_shift;
		info->max_nodes = geometry.max_nodes;
		info->nodes = 0;
		for (i = 0; i < DSM_MAX_NODES; i++)
			if (dsm_cluster->nodes[i])
				info->nodes |= BIT_ULL(i);
		strscpy_pad(info->name, config_item_name(&dsm_cluster->group.cg_item),
			    sizeof(info->name));
		err = 0;
	}
	mutex_unlock(&dsm_config_lock);
	return err;
}

/* Begin a change that may be made only while no local node is up. */
static int dsm_config_begin(struct dsm_cluster *cluster)
{
	mutex_lock(&dsm_config_lock);
	if (!dsm_cluster_is_up(cluster))
		return 0;
	mutex_unlock(&dsm_config_lock);
	return -EBUSY;
}

static void dsm_config_end(void)
{
	mutex_unlock(&dsm_config_lock);
}

/* ---- a node's attributes ---- */

static ssize_t dsm_node_addr_show(struct config_item *item, char *page)
{
	struct dsm_config_node *n = to_config_node(item);
	ssize_t len = 0;

	mutex_lock(&dsm_config_lock);
	if (n->has_addr && n->addr.ss_family == AF_INET)
		len = sysfs_emit(page, "%pI4\n", &((struct sockaddr_in *)&n->addr)->sin_addr);
	else if (n->has_addr)
		len = sysfs_emit(page, "%pI6c\n", &((struct sockaddr_in6 *)&n->addr)->sin6_addr);
	mutex_unlock(&dsm_config_lock);
	return len;
}

static ssize_t dsm_node_addr_store(struct config_item *item, const char *page, size_t len)
{
	struct dsm_config_node *n = to_config_node(item);
	struct sockaddr_storage addr = {};
	char text[INET6_ADDRSTRLEN + IFNAMSIZ + 2];
	int err;

	if (strscpy(text, page, sizeof(text)) < 0)
		return -EINVAL;
	if (inet_pton_with_scope(&init_net, AF_UNSPEC, strim(text), "0", &addr) ||
	    inet_addr_is_any((struct sockaddr *)&addr))
		return -EINVAL;
	err = dsm_config_begin(n->cluster);
	if (err)
		return err;
	n->addr = addr;
	n->has_addr = true;
	dsm_config_end();
	return len;
}

static ssize_t dsm_node_port_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%u\n", to_config_node(item)->port);
}

static ssize_t dsm_node_port_store(struct config_item *item, const char *page, size_t len)
{
	struct dsm_config_node *n = to_config_node(item);
	u16 port;
	int err;

	if (kstrtou16(page, 0, &port) || !port)
		return -EINVAL;
	err = dsm_config_begin(n->cluster);
	if (err)
		return err;
	n->port = port;
	dsm_config_end();
	return len;
}

static ssize_t dsm_node_local_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%d\n", to_config_node(item)->local);
}

static ssize_t dsm_node_local_store(struct config_item *item, const char *page, size_t len)
{
	struct dsm_config_node *n = to_config_node(item);
	bool local;
	int err;

	if (kstrtobool(page, &local))
		return -EINVAL;
	err = dsm_config_begin(n->cluster);
	if (err)
		return err;
	n->local = local;
	dsm_config_end();
	return len;
}

static ssize_t dsm_node_memory_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%llu\n", to_config_node(item)->memory);
}

static ssize_t dsm_node_memory_store(struct config_item *item, const char *page,
				     size_t len)
{
	struct dsm_config_node *n = to_config_node(item);
	u64 value;
	int err;

	if (kstrtou64(page, 0, &value) || !value || value % DSM_CHUNK_SIZE ||
	    value >> DSM_CHUNK_SHIFT > DSM_DIR_MAX_ENTRIES)
		return -EINVAL;
	err = dsm_config_begin(n->cluster);
	if (err)
		return err;
	n->memory = value;
	dsm_config_end();
	return len;
}

static ssize_t dsm_node_cache_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%llu\n", to_config_node(item)->cache);
}

static ssize_t dsm_node_cache_store(struct config_item *item, const char *page, size_t len)
{
	struct dsm_config_node *n = to_config_node(item);
	u64 value;
	int err;

	if (kstrtou64(page, 0, &value) || value < DSM_MIN_CACHE)
		return -EINVAL;
	err = dsm_config_begin(n->cluster);
	if (err)
		return err;
	n->cache = value;
	dsm_config_end();
	return len;
}

static ssize_t dsm_node_up_show(struct config_item *item, char *page)
{
	struct dsm_config_node *n = to_config_node(item);
	bool up;

	mutex_lock(&dsm_config_lock);
	up = dsm_config_node_is_up(n);
	mutex_unlock(&dsm_config_lock);
	return sysfs_emit(page, "%d\n", up);
}

static bool dsm_same_addr(const struct dsm_config_node *a, const struct dsm_config_node *b)
{
	return a->port == b->port && !memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

/* Everything that a node needs to know, or what is wrong. */
static int dsm_config_fill(struct dsm_config_node *n, struct dsm_node_config *config)
{
	struct dsm_cluster *cluster = n->cluster;
	unsigned int i, k;

	if (!n->local || !cluster->has_key)
		return -EINVAL;
	dsm_cluster_geometry(cluster, &config->geometry);
	if (n->memory > 1ULL << config->geometry.partition_shift)
		return -EINVAL;
	config->id = n->id;
	config->epoch = cluster->epoch;
	config->memory = n->memory;
	config->cache = n->cache;
	memcpy(config->key, cluster->key, sizeof(config->key));
	for (i = 0; i < DSM_MAX_NODES; i++) {
		struct dsm_config_node *other = cluster->nodes[i];
		struct dsm_member *member = &config->members[i];

		if (!other)
			continue;
		if (!other->has_addr || i >= cluster->max_nodes)
			return -EINVAL;
		for (k = 0; k < i; k++)
			if (cluster->nodes[k] && dsm_same_addr(cluster->nodes[k], other))
				return -EINVAL;
		member->present = true;
		member->min_epoch = cluster->min_epoch[i];
		member->addr = other->addr;
		if (member->addr.ss_family == AF_INET)
			((struct sockaddr_in *)&member->addr)->sin_port = htons(other->port);
		else
			((struct sockaddr_in6 *)&member->addr)->sin6_port = htons(other->port);
	}
	return 0;
}

static int dsm_config_up(struct dsm_config_node *n)
{
	struct dsm_node_config *config;
	struct dsm_node *node;
	int err;

	if (dsm_config_node_is_up(n))
		return 0;
	if (n->node) {			/* its device went away */
		dsm_node_put(n->node);
		n->node = NULL;
	}
	config = kvzalloc(sizeof(*config), GFP_KERNEL);
	if (!config)
		return -ENOMEM;
	err = dsm_config_fill(n, config);
	if (err)
		goto free;
	node = dsm_node_up(config);
	if (IS_ERR(node))
		err = PTR_ERR(node);
	else
		n->node = node;
free:
	memzero_explicit(config->key, sizeof(config->key));
	kvfree(config);
	return err;
}

static int dsm_config_down(struct dsm_config_node *n, bool force)
{
	int err;

	if (!n->node)
		return 0;
	err = dsm_node_down(n->node, force);
	if (err)
		return err;
	dsm_node_put(n->node);
	n->node = NULL;
	return 0;
}

static ssize_t dsm_node_up_store(struct config_item *item, const char *page, size_t len)
{
	struct dsm_config_node *n = to_config_node(item);
	bool up;
	int err;

	if (kstrtobool(page, &up))
		return -EINVAL;
	mutex_lock(&dsm_config_lock);
	err = up ? dsm_config_up(n) : dsm_config_down(n, false);
	mutex_unlock(&dsm_config_lock);
	return err ?: len;
}

static ssize_t dsm_node_fence_store(struct config_item *item, const char *page, size_t len)
{
	struct dsm_config_node *n = to_config_node(item);
	struct dsm_cluster *cluster = n->cluster;
	unsigned int i;
	bool fence;
	int err = 0;

	if (kstrtobool(page, &fence) || !fence)
		return -EINVAL;
	mutex_lock(&dsm_config_lock);
	if (n->local) {
		err = -EINVAL;
		goto unlock;
	}
	cluster->min_epoch[n->id] = ++cluster->epoch;
	for (i = 0; i < DSM_MAX_NODES; i++)
		if (cluster->nodes[i] && dsm_config_node_is_up(cluster->nodes[i]))
			dsm_node_fence(cluster->nodes[i]->node, n->id, cluster->epoch);
	pr_notice("node %u is fenced, epoch %llu begins\n", n->id, cluster->epoch);
unlock:
	mutex_unlock(&dsm_config_lock);
	return err ?: len;
}

static ssize_t dsm_node_links_show(struct config_item *item, char *page)
{
	struct dsm_config_node *n = to_config_node(item);
	ssize_t len = 0;
	unsigned int i;

	mutex_lock(&dsm_config_lock);
	if (n->node && dsm_node_enter(n->node)) {
		for (i = 0; i < DSM_MAX_NODES; i++)
			if (n->node->links[i])
				len += sysfs_emit_at(page, len, "%u %s\n", i,
						     dsm_link_state_name(n->node->links[i]));
		dsm_node_leave(n->node);
	}
	mutex_unlock(&dsm_config_lock);
	return len;
}

CONFIGFS_ATTR(dsm_node_, addr);
CONFIGFS_ATTR(dsm_node_, port);
CONFIGFS_ATTR(dsm_node_, local);
CONFIGFS_ATTR(dsm_node_, memory);
CONFIGFS_ATTR(dsm_node_, cache);
CONFIGFS_ATTR(dsm_node_, up);
CONFIGFS_ATTR_WO(dsm_node_, fence);
CONFIGFS_ATTR_RO(dsm_node_, links);

static struct configfs_attribute *dsm_node_attrs[] = {
	&dsm_node_attr_addr,
	&dsm_node_attr_port,
	&dsm_node_attr_local,
	&dsm_node_attr_memory,
	&dsm_node_attr_cache,
	&dsm_node_attr_up,
	&dsm_node_attr_fence,
	&dsm_node_attr_links,
	NULL,
};

static void dsm_node_item_release(struct config_item *item)
{
	kfree(to_config_node(item));
}

static struct configfs_item_operations dsm_node_item_ops = {
	.release = dsm_node_item_release,
};

static const struct config_item_type dsm_node_type = {
	.ct_item_ops = &dsm_node_item_ops,
	.ct_attrs = dsm_node_attrs,
	.ct_owner = THIS_MODULE,
};

/* ---- the directory of nodes ---- */

static struct config_group *dsm_nodes_make(struct config_group *group, const char *name)
{
	struct dsm_cluster *cluster = container_of(group, struct dsm_cluster, nodes_group);
	struct dsm_config_node *n;
	char canonical[4];
	unsigned int id;
	int err;

	if (kstrtouint(name, 10, &id) || id >= DSM_MAX_NODES)
		return ERR_PTR(-EINVAL);
	snprintf(canonical, sizeof(canonical), "%u", id);
	if (strcmp(name, canonical))
		return ERR_PTR(-EINVAL);
	n = kzalloc(sizeof(*n), GFP_KERNEL);
	if (!n)
		return ERR_PTR(-ENOMEM);
	n->cluster = cluster;
	n->id = id;
	n->port = DSM_DEFAULT_PORT;
	n->memory = DSM_DEFAULT_MEMORY;
	n->cache = DSM_DEFAULT_CACHE;
	mutex_lock(&dsm_config_lock);
	err = id >= cluster->max_nodes ? -EINVAL : dsm_cluster_is_up(cluster) ? -EBUSY : 0;
	if (!err)
		cluster->nodes[id] = n;
	mutex_unlock(&dsm_config_lock);
	if (err) {
		kfree(n);
		return ERR_PTR(err);
	}
	config_group_init_type_name(&n->group, name, &dsm_node_type);
	return &n->group;
}

static void dsm_nodes_drop(struct config_group *group, struct config_item *item)
{
	struct dsm_config_node *n = to_config_node(item);

	mutex_lock(&dsm_config_lock);
	dsm_config_down(n, true);
	n->cluster->nodes[n->id] = NULL;
	mutex_unlock(&dsm_config_lock);
	config_item_put(item);
}

static struct configfs_group_operations dsm_nodes_group_ops = {
	.make_group = dsm_nodes_make,
	.drop_item = dsm_nodes_drop,
};

static const struct config_item_type dsm_nodes_type = {
	.ct_group_ops = &dsm_nodes_group_ops,
	.ct_owner = THIS_MODULE,
};

/* ---- the cluster's attributes ---- */

static ssize_t dsm_cluster_base_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%#llx\n", to_config_cluster(item)->base);
}

static ssize_t dsm_cluster_span_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%#llx\n", to_config_cluster(item)->span);
}

static ssize_t dsm_cluster_max_nodes_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%u\n", to_config_cluster(item)->max_nodes);
}

/* The range must lie in user space, and a partition hold at least a chunk. */
static bool dsm_geometry_valid(u64 base, u64 span, u64 max_nodes)
{
	return is_power_of_2(span) && is_power_of_2(max_nodes) &&
	       max_nodes <= DSM_MAX_NODES && span / max_nodes >= DSM_CHUNK_SIZE &&
	       base && IS_ALIGNED(base, DSM_CHUNK_SIZE) && span <= TASK_SIZE_MAX &&
	       base <= TASK_SIZE_MAX - span;
}

static ssize_t dsm_cluster_store_geometry(struct dsm_cluster *cluster, u64 base,
					  u64 span, u64 max_nodes, size_t len)
{
	if (!dsm_geometry_valid(base, span, max_nodes))
		return -EINVAL;
	if (dsm_cluster_is_up(cluster))
		return -EBUSY;
	cluster->base = base;
	cluster->span = span;
	cluster->max_nodes = max_nodes;
	return len;
}

static ssize_t dsm_cluster_base_store(struct config_item *item, const char *page, size_t len)
{
	struct dsm_cluster *c = to_config_cluster(item);
	ssize_t ret;
	u64 value;

	if (kstrtou64(page, 0, &value))
		return -EINVAL;
	mutex_lock(&dsm_config_lock);
	ret = dsm_cluster_store_geometry(c, value, c->span, c->max_nodes, len);
	mutex_unlock(&dsm_config_lock);
	return ret;
}

static ssize_t dsm_cluster_span_store(struct config_item *item, const char *page, size_t len)
{
	struct dsm_cluster *c = to_config_cluster(item);
	ssize_t ret;
	u64 value;

	if (kstrtou64(page, 0, &value))
		return -EINVAL;
	mutex_lock(&dsm_config_lock);
	ret = dsm_cluster_store_geometry(c, c->base, value, c->max_nodes, len);
	mutex_unlock(&dsm_config_lock);
	return ret;
}

static ssize_t dsm_cluster_max_nodes_store(struct config_item *item, const char *page,
					   size_t len)
{
	struct dsm_cluster *c = to_config_cluster(item);
	ssize_t ret;
	u64 value;

	if (kstrtou64(page, 0, &value))
		return -EINVAL;
	mutex_lock(&dsm_config_lock);
	ret = dsm_cluster_store_geometry(c, c->base, c->span, value, len);
	mutex_unlock(&dsm_config_lock);
	return ret;
}

static ssize_t dsm_cluster_key_store(struct config_item *item, const char *page, size_t len)
{
	struct dsm_cluster *cluster = to_config_cluster(item);
	u8 key[DSM_KEY_BYTES];
	size_t digits = len;
	int err;

	if (digits && page[digits - 1] == '\n')
		digits--;
	if (digits != 2 * DSM_KEY_BYTES || hex2bin(key, page, sizeof(key)))
		return -EINVAL;
	err = dsm_config_begin(cluster);
	if (!err) {
		memcpy(cluster->key, key, sizeof(key));
		cluster->has_key = true;
		dsm_config_end();
	}
	memzero_explicit(key, sizeof(key));
	return err ?: len;
}

static ssize_t dsm_cluster_epoch_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%llu\n", READ_ONCE(to_config_cluster(item)->epoch));
}

static ssize_t dsm_cluster_epoch_store(struct config_item *item, const char *page, size_t len)
{
	struct dsm_cluster *cluster = to_config_cluster(item);
	unsigned int i;
	u64 epoch;
	int err;

	if (kstrtou64(page, 0, &epoch))
		return -EINVAL;
	mutex_lock(&dsm_config_lock);
	/* A fence must still find a larger one. */
	err = epoch < cluster->epoch || epoch == U64_MAX ? -EINVAL : 0;
	if (!err) {
		WRITE_ONCE(cluster->epoch, epoch);
		for (i = 0; i < DSM_MAX_NODES; i++)
			if (cluster->nodes[i] && dsm_config_node_is_up(cluster->nodes[i]))
				WRITE_ONCE(cluster->nodes[i]->node->config.epoch, epoch);
	}
	mutex_unlock(&dsm_config_lock);
	return err ?: len;
}

CONFIGFS_ATTR(dsm_cluster_, base);
CONFIGFS_ATTR(dsm_cluster_, span);
CONFIGFS_ATTR(dsm_cluster_, max_nodes);
CONFIGFS_ATTR_WO(dsm_cluster_, key);
CONFIGFS_ATTR(dsm_cluster_, epoch);

static struct configfs_attribute *dsm_cluster_attrs[] = {
	&dsm_cluster_attr_base,
	&dsm_cluster_attr_span,
	&dsm_cluster_attr_max_nodes,
	&dsm_cluster_attr_key,
	&dsm_cluster_attr_epoch,
	NULL,
};

static void dsm_cluster_release(struct config_item *item)
{
	kfree_sensitive(to_config_cluster(item));
}

static struct configfs_item_operations dsm_cluster_item_ops = {
	.release = dsm_cluster_release,
};

static const struct config_item_type dsm_cluster_type = {
	.ct_item_ops = &dsm_cluster_item_ops,
	.ct_attrs = dsm_cluster_attrs,
	.ct_owner = THIS_MODULE,
};

/* ---- the subsystem ---- */

static struct config_group *dsm_root_make(struct config_group *group, const char *name)
{
	struct dsm_cluster *cluster;

	if (strlen(name) >= DSM_NAME_BYTES)
		return ERR_PTR(-EINVAL);
	cluster = kzalloc(sizeof(*cluster), GFP_KERNEL);
	if (!cluster)
		return ERR_PTR(-ENOMEM);
	cluster->base = DSM_DEFAULT_BASE;
	cluster->span = DSM_DEFAULT_SPAN;
	cluster->max_nodes = DSM_MAX_NODES;
	cluster->epoch = 1;
	mutex_lock(&dsm_config_lock);
	if (dsm_cluster) {
		mutex_unlock(&dsm_config_lock);
		kfree(cluster);
		return ERR_PTR(-EBUSY);
	}
	config_group_init_type_name(&cluster->group, name, &dsm_cluster_type);
	config_group_init_type_name(&cluster->nodes_group, "nodes", &dsm_nodes_type);
	configfs_add_default_group(&cluster->nodes_group, &cluster->group);
	dsm_cluster = cluster;
	mutex_unlock(&dsm_config_lock);
	return &cluster->group;
}

static void dsm_root_drop(struct config_group *group, struct config_item *item)
{
	mutex_lock(&dsm_config_lock);
	dsm_cluster = NULL;
	mutex_unlock(&dsm_config_lock);
	config_item_put(item);
}

static struct configfs_group_operations dsm_root_group_ops = {
	.make_group = dsm_root_make,
	.drop_item = dsm_root_drop,
};

static const struct config_item_type dsm_root_type = {
	.ct_group_ops = &dsm_root_group_ops,
	.ct_owner = THIS_MODULE,
};

static struct configfs_subsystem dsm_subsystem = {
	.su_group = {
		.cg_item = {
			.ci_namebuf = "dsm",
			.ci_type = &dsm_root_type,
		},
	},
};

int dsm_config_init(void)
{
	config_group_init(&dsm_subsystem.su_group);
	mutex_init(&dsm_subsystem.su_mutex);
	return configfs_register_subsystem(&dsm_subsystem);
}

void dsm_config_exit(void)
{
	configfs_unregister_subsystem(&dsm_subsystem);
}
