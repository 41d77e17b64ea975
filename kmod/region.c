// SPDX-License-Identifier: GPL-2.0-only
/*
 * A region as one node sees it.  It begins with the first attachment, and ends
 * when the region is removed or the node goes down: then no fetch begins any
 * more, and when those under way are over everything of it is dropped.
 */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "node.h"
#include "region.h"

enum {
	DSM_LOOKUP_AGAIN_MS = 1000,	/* in case the news were lost with a link */
	DSM_FS_MAGIC = 0x64736d31,	/* "dsm1" */
};

/*
 * Inodes need a superblock.  It is mounted while there are regions, as a mount
 * keeps the module from being unloaded.
 */
static struct vfsmount *dsm_mount;
static int dsm_mount_users;

static int dsm_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, DSM_FS_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type dsm_fs_type = {
	.name = "dsm",
	.owner = THIS_MODULE,
	.init_fs_context = dsm_init_fs_context,
	.kill_sb = kill_anon_super,
};

void dsm_regions_init(struct dsm_node *node, work_func_t release)
{
	node->regions.release = release;
	mutex_init(&node->regions.lock);
	xa_init(&node->regions.table);
}

/* ---- life ---- */

static void dsm_region_free(struct kref *ref)
{
	struct dsm_region *region = container_of(ref, struct dsm_region, ref);

	WARN_ON_ONCE(!xa_empty(&region->copies));
	iput(region->inode);
	__free_page(region->blank);
	simple_release_fs(&dsm_mount, &dsm_mount_users);
	free_percpu(region->stat);
	dsm_node_put(region->node);
	kfree_rcu(region, rcu);
}

void dsm_region_put(struct dsm_region *region)
{
	kref_put(&region->ref, dsm_region_free);
}

/**
 * dsm_region_registrar_born() - in which life is the region's registrar?
 * @region: any
 *
 * An answer was given in a life that was the same before the question and after it.
 */
u64 dsm_region_registrar_born(const struct dsm_region *region)
{
	const struct dsm_node *node = region->node;

	return region->registrar == node->id ?
	       0 : READ_ONCE(node->links[region->registrar]->born);
}

static struct dsm_region *dsm_region_alloc(struct dsm_node *node,
					   const struct dsm_wire_region *wire)
{
	struct dsm_region *region;
	int err = -ENOMEM;

	region = kzalloc(sizeof(*region), GFP_KERNEL);
	if (!region)
		return ERR_PTR(-ENOMEM);
	kref_init(&region->ref);
	region->id = le64_to_cpu(wire->id);
	region->registrar = dsm_registrar_of(node, wire->name);
	region->uid = make_kuid(&init_user_ns, le32_to_cpu(wire->uid));
	region->gid = make_kgid(&init_user_ns, le32_to_cpu(wire->gid));
	region->mode = le32_to_cpu(wire->mode) & 0777;
	strscpy(region->name, wire->name, sizeof(region->name));
	INIT_LIST_HEAD(&region->chunks);
	xa_init(&region->copies);
	init_rwsem(&region->window);
	xa_init(&region->shadows);
	init_waitqueue_head(&region->idle);
	init_waitqueue_head(&region->news);
	mutex_init(&region->ending);
	INIT_WORK(&region->release, node->regions.release);
	region->blank = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!region->blank)
		goto free;
	region->stat = alloc_percpu(struct dsm_stat);
	if (!region->stat)
		goto free_blank;
	err = simple_pin_fs(&dsm_fs_type, &dsm_mount, &dsm_mount_users);
	if (err)
		goto free_stat;
	region->inode = alloc_anon_inode(dsm_mount->mnt_sb);
	if (IS_ERR(region->inode)) {
		err = PTR_ERR(region->inode);
		goto release_fs;
	}
	region->mapping = region->inode->i_mapping;
	kref_get(&node->ref);
	region->node = node;
	region->registrar_born = dsm_region_registrar_born(region);
	return region;

release_fs:
	simple_release_fs(&dsm_mount, &dsm_mount_users);
free_stat:
	free_percpu(region->stat);
free_blank:
	__free_page(region->blank);
free:
	kfree(region);
	return ERR_PTR(err);
}

/**
 * dsm_region_find() - a region that the node knows
 * @node: ours
 * @id: of the region
 *
 * Return: the region, to be put, or NULL.
 */
struct dsm_region *dsm_region_find(struct dsm_node *node, u64 id)
{
	struct dsm_region *region;

	mutex_lock(&node->regions.lock);
	region = xa_load(&node->regions.table, id);
	if (region)
		kref_get(&region->ref);
	mutex_unlock(&node->regions.lock);
	return region;
}

/**
 * dsm_region_next() - go through the regions that the node knows
 * @node: ours
 * @index: 0 to begin
 *
 * Return: the next region, to be put, or NULL.
 */
struct dsm_region *dsm_region_next(struct dsm_node *node, unsigned long *index)
{
	struct dsm_region *region;

	mutex_lock(&node->regions.lock);
	region = xa_find(&node->regions.table, index, ULONG_MAX, XA_PRESENT);
	if (region)
		kref_get(&region->ref);
	mutex_unlock(&node->regions.lock);
	(*index)++;
	return region;
}

/* The region has ended: the node knows it no longer. */
void dsm_region_forget(struct dsm_region *region)
{
	struct dsm_regions *regions = &region->node->regions;

	mutex_lock(&regions->lock);
	xa_erase(&regions->table, region->id);
	mutex_unlock(&regions->lock);
	dsm_region_put(region);
}

/**
 * dsm_region_open() - find a region by name, wherever its record is
 * @node: ours, entered
 * @name: checked by the registrar
 *
 * Return: the region, to be put, or ERR_PTR: -EINVAL, -ENOENT, -EHOSTDOWN,
 * -EINTR, -ENOMEM.
 */
struct dsm_region *dsm_region_open(struct dsm_node *node, const char *name)
{
	struct dsm_regions *regions = &node->regions;
	struct dsm_wire_region in = {}, out;
	struct dsm_region *region, *new;
	int err;

	strscpy(in.name, name, sizeof(in.name));
	err = dsm_registrar_ask_region(node, dsm_registrar_of(node, name),
				       DSM_MSG_REGION_FIND, &in, &out);
	if (err)
		return ERR_PTR(err);
	region = dsm_region_find(node, le64_to_cpu(out.id));
	if (region)
		return region;
	new = dsm_region_alloc(node, &out);
	if (IS_ERR(new))
		return new;
	mutex_lock(&regions->lock);
	region = xa_load(&regions->table, new->id);
	if (!region) {
		err = READ_ONCE(node->down) ? -ENODEV :
		      xa_err(xa_store(&regions->table, new->id, new, GFP_KERNEL));
		if (!err)
			region = new;
	}
	if (region)
		kref_get(&region->ref);
	mutex_unlock(&regions->lock);
	if (region != new) {
		dsm_region_put(new);
		return region ?: ERR_PTR(err);
	}
	/* It may have been removed before it could be found here: ask again. */
	in.id = cpu_to_le64(new->id);
	err = dsm_registrar_ask_region(node, new->registrar, DSM_MSG_REGION_CHECK,
				       &in, &out);
	if (!err)
		return region;
	if (err == -ENOENT)
		node->region_gone(node, new->id);
	dsm_region_put(region);
	return ERR_PTR(err);
}

/**
 * dsm_region_restore() - tell a registrar in a new life of a region that it kept
 * @region: any
 *
 * The names in it are lost.
 *
 * Context: process; killable.
 * Return: 0: it knows it again; 1: it is in no new life; -EEXIST: it has another region
 * of that name by now; else as dsm_registrar_ask_region().
 */
int dsm_region_restore(struct dsm_region *region)
{
	struct dsm_wire_region in = {
		.id = cpu_to_le64(region->id),
		.uid = cpu_to_le32(from_kuid(&init_user_ns, region->uid)),
		.gid = cpu_to_le32(from_kgid(&init_user_ns, region->gid)),
		.mode = cpu_to_le32(region->mode),
	};
	u64 born = dsm_region_registrar_born(region);
	struct dsm_wire_region out;
	int err;

	if (READ_ONCE(region->registrar_born) == born)
		return 1;
	strscpy(in.name, region->name, sizeof(in.name));
	err = dsm_registrar_ask_region(region->node, region->registrar,
				       DSM_MSG_REGION_RESTORE, &in, &out);
	if (!err)
		WRITE_ONCE(region->registrar_born, born);
	return err;
}

/**
 * dsm_region_permit() - may the caller use the region?
 * @region: any
 * @write: to allocate, freeze and publish, not only to read
 *
 * Return: 0 or -EACCES.
 */
int dsm_region_permit(const struct dsm_region *region, bool write)
{
	umode_t want = write ? 06 : 04;
	umode_t have = region->mode;

	if (uid_eq(current_euid(), region->uid))
		have >>= 6;
	else if (in_group_p(region->gid))
		have >>= 3;
	if ((have & want) == want || capable(CAP_DAC_OVERRIDE))
		return 0;
	return -EACCES;
}

static void dsm_region_caller(struct dsm_wire_region *in)
{
	in->uid = cpu_to_le32(from_kuid(&init_user_ns, current_euid()));
	in->gid = cpu_to_le32(from_kgid(&init_user_ns, current_egid()));
}

/**
 * dsm_region_create() - make a region; the caller owns it
 * @node: ours, entered
 * @name: of the region
 * @mode: permission bits
 * @id: out: its id
 *
 * Return: 0, -EINVAL, -EEXIST, -ENOSPC, -EHOSTDOWN, -EINTR, -ENOMEM.
 */
int dsm_region_create(struct dsm_node *node, const char *name, umode_t mode, u64 *id)
{
	struct dsm_wire_region in = {}, out;
	int err;

	strscpy(in.name, name, sizeof(in.name));
	in.mode = cpu_to_le32(mode);
	dsm_region_caller(&in);
	err = dsm_registrar_ask_region(node, dsm_registrar_of(node, name),
				       DSM_MSG_REGION_CREATE, &in, &out);
	if (!err)
		*id = le64_to_cpu(out.id);
	return err;
}

/**
 * dsm_region_remove() - end a region on all nodes
 * @node: ours, entered
 * @name: of the region
 *
 * Return: 0, -EINVAL, -ENOENT, -EPERM, -EHOSTDOWN, -EINTR, -ENOMEM.
 */
int dsm_region_remove(struct dsm_node *node, const char *name)
{
	struct dsm_wire_region in = {}, out;

	strscpy(in.name, name, sizeof(in.name));
	dsm_region_caller(&in);
	if (capable(CAP_SYS_ADMIN))
		in.flags = cpu_to_le32(DSM_WIRE_ADMIN);
	return dsm_registrar_ask_region(node, dsm_registrar_of(node, name),
					DSM_MSG_REGION_REMOVE, &in, &out);
}

/* ---- fetches ---- */

/**
 * dsm_region_fetch_begin() - keys of the region's chunks will be used
 * @region: of the chunks
 *
 * Return: false if the region is gone.
 */
bool dsm_region_fetch_begin(struct dsm_region *region)
{
	atomic_inc(&region->fetches);
	smp_mb__after_atomic();	/* pairs with dsm_region_stop_fetches() */
	if (!READ_ONCE(region->gone))
		return true;
	dsm_region_fetch_end(region);
	return false;
}

/* Context: any. */
void dsm_region_fetch_end(struct dsm_region *region)
{
	/* Who waits may free the region, but not before a grace period. */
	rcu_read_lock();
	if (atomic_dec_and_test(&region->fetches) && READ_ONCE(region->gone))
		wake_up_all(&region->idle);
	rcu_read_unlock();
}

/**
 * dsm_region_stop_fetches() - begin the end of a region
 * @region: that is removed, or whose node goes down
 *
 * Afterwards no key of the region's chunks is in use.  Context: process; every
 * fetch ends, as every request of a link does.
 */
void dsm_region_stop_fetches(struct dsm_region *region)
{
	WRITE_ONCE(region->gone, true);
	smp_mb();	/* pairs with dsm_region_fetch_begin() */
	wake_up_all(&region->news);
	wait_event(region->idle, !atomic_read(&region->fetches));
}

/**
 * dsm_region_window_changed() - words of this node can be seen now, or no more
 * @region: of the words
 * @first: page of the range that they belong to
 * @nr: how many
 *
 * Context: process.
 */
void dsm_region_window_changed(struct dsm_region *region, pgoff_t first,
			       unsigned long nr)
{
	pgoff_t own = first - dsm_partition(region->node, region->node->id);

	down_write(&region->window);
	unmap_mapping_pages(region->mapping,
			    DSM_LEDGER_PGOFF + (first >> DSM_WINDOW_SHIFT),
			    nr >> DSM_WINDOW_SHIFT, false);
	unmap_mapping_pages(region->mapping,
			    DSM_CLAIMS_PGOFF + (own >> DSM_WINDOW_SHIFT),
			    nr >> DSM_WINDOW_SHIFT, false);
	up_write(&region->window);
}

/* ---- named handles ---- */

static int dsm_region_ask_name(struct dsm_region *region, enum dsm_wire_type type,
			       const struct dsm_wire_name *in, struct dsm_wire_name *out)
{
	u64 born = READ_ONCE(region->registrar_born);
	int err, again;

	err = dsm_registrar_ask_name(region->node, region->registrar, type, in, out);
	if (err != -EIDRM || READ_ONCE(region->gone))
		return err;
	/* Removed, or the registrar is in a new life and knows nothing of it yet? */
	again = dsm_region_restore(region);
	if (again == -EHOSTDOWN || again == -EINTR || again == -ENOMEM)
		return again;
	if (again && READ_ONCE(region->registrar_born) == born)
		return err;
	return dsm_registrar_ask_name(region->node, region->registrar, type, in, out);
}

/**
 * dsm_region_publish() - give an object a name
 * @region: whose object it is; the caller has checked that
 * @name: checked by the registrar
 * @ref: the handle
 * @anew: the name may be there already
 *
 * Return: 0, -EINVAL, -EEXIST, -ENOSPC, -EIDRM, -EHOSTDOWN, -EINTR, -ENOMEM.
 */
int dsm_region_publish(struct dsm_region *region, const char *name,
		       const struct dsm_ref *ref, bool anew)
{
	struct dsm_wire_name in = {
		.region = cpu_to_le64(region->id),
		.flags = cpu_to_le32(anew ? DSM_WIRE_ANEW : 0),
		.addr = cpu_to_le64(ref->addr),
		.version = cpu_to_le64(ref->version),
		.size = cpu_to_le64(ref->size),
	};
	struct dsm_wire_name out;

	strscpy(in.name, name, sizeof(in.name));
	return dsm_region_ask_name(region, DSM_MSG_NAME_PUBLISH, &in, &out);
}

static bool dsm_region_has_news(struct dsm_region *region, int seq)
{
	return atomic_read(&region->news_seq) != seq || READ_ONCE(region->gone);
}

/**
 * dsm_region_lookup() - find a handle by name
 * @region: to look in
 * @name: checked by the registrar
 * @take: remove the name
 * @timeout_ms: how long to wait until it is published
 * @ref: out
 *
 * Context: process; interruptible.
 * Return: 0, -EINVAL, -ENOENT, -ETIMEDOUT, -EINTR, -EIDRM, -EHOSTDOWN, -ENOMEM.
 */
int dsm_region_lookup(struct dsm_region *region, const char *name, bool take,
		      unsigned int timeout_ms, struct dsm_ref *ref)
{
	struct dsm_wire_name in = {
		.region = cpu_to_le64(region->id),
		.flags = cpu_to_le32((timeout_ms ? DSM_WIRE_WATCH : 0) |
				     (take ? DSM_WIRE_TAKE : 0)),
	};
	u64 end = get_jiffies_64() + msecs_to_jiffies(timeout_ms);
	struct dsm_wire_name out;
	int err, seq;
	long left;

	strscpy(in.name, name, sizeof(in.name));
	for (;;) {
		/* News that come after the question are not missed. */
		seq = atomic_read(&region->news_seq);
		if (READ_ONCE(region->gone))
			return -EIDRM;
		err = dsm_region_ask_name(region, DSM_MSG_NAME_LOOKUP, &in, &out);
		if (err != -ENOENT || !timeout_ms)
			break;
		if (!time_before64(get_jiffies_64(), end))
			return -ETIMEDOUT;
		left = min_t(u64, end - get_jiffies_64(),
			     msecs_to_jiffies(DSM_LOOKUP_AGAIN_MS));
		left = wait_event_interruptible_timeout(region->news,
							dsm_region_has_news(region, seq),
							left);
		if (left < 0)
			return -EINTR;
	}
	if (err)
		return err;
	ref->addr = le64_to_cpu(out.addr);
	ref->version = le64_to_cpu(out.version);
	ref->size = le64_to_cpu(out.size);
	return 0;
}

/* A name may have been published. */
void dsm_region_news(struct dsm_region *region)
{
	atomic_inc(&region->news_seq);
	wake_up_all(&region->news);
}
