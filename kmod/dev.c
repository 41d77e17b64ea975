// SPDX-License-Identifier: GPL-2.0-only
/* /dev/dsm: files, requests and the mapping of the range. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/fs_struct.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "config.h"
#include "dev.h"
#include "node.h"
#include "object.h"
#include "ping.h"
#include "shadow.h"
#include "slab.h"
#include "window.h"

/* Attached files: a process attaches to one region of one node at a time. */
static LIST_HEAD(dsm_files);
static DEFINE_MUTEX(dsm_files_lock);	/* protects dsm_files and their lists */

union dsm_args {
	__u32 size;
	struct dsm_info info;
	struct dsm_stat_args stat;
	struct dsm_ping_args ping;
	struct dsm_region_args region;
	struct dsm_attach_args attach;
	struct dsm_object_args object;
	struct dsm_alloc_args alloc;
	struct dsm_slab_args slab;
	struct dsm_fetch_args fetch;
	struct dsm_move_args move;
	struct dsm_name_args name;
};

static bool dsm_name_ends(const char *name)
{
	size_t len = strnlen(name, DSM_NAME_BYTES);

	return len && len < DSM_NAME_BYTES;
}

/* The local node that a request means, entered. */
static struct dsm_node *dsm_dev_node(u32 id)
{
	struct dsm_node *node = dsm_node_find(id);

	if (!node)
		return ERR_PTR(-ENODEV);
	if (!dsm_node_enter(node)) {
		dsm_node_put(node);
		return ERR_PTR(-ENODEV);
	}
	return node;
}

static void dsm_dev_done(struct dsm_node *node)
{
	dsm_node_leave(node);
	dsm_node_put(node);
}

/* ---- requests of any file ---- */

static int dsm_ioc_info(struct file *file, union dsm_args *args)
{
	args->info.abi = DSM_ABI_VERSION;
	args->info.local = dsm_node_local();
	return dsm_config_info(&args->info);
}

static int dsm_ioc_stat(struct file *file, union dsm_args *args)
{
	struct dsm_stat_args *a = &args->stat;
	struct dsm_region *region = NULL;
	struct dsm_node *node;
	struct dsm_stat *sum;
	int err = 0;
	u32 nr;

	if (a->reserved)
		return -EINVAL;
	node = dsm_dev_node(a->node);
	if (IS_ERR(node))
		return PTR_ERR(node);
	if (a->region) {
		region = dsm_region_find(node, a->region);
		if (!region) {
			err = -ENOENT;
			goto done;
		}
		err = dsm_region_permit(region, false);
		if (err)
			goto put;
	}
	sum = kmalloc(sizeof(*sum), GFP_KERNEL);
	if (!sum) {
		err = -ENOMEM;
		goto put;
	}
	dsm_stat_sum(region ? region->stat : node->stat, sum);
	nr = min_t(u32, a->nr, DSM_COUNTER_NR);
	if (copy_to_user(u64_to_user_ptr(a->values), sum->value, nr * sizeof(u64)))
		err = -EFAULT;
	kfree(sum);
	a->node = node->id;
	a->nr = DSM_COUNTER_NR;
put:
	if (region)
		dsm_region_put(region);
done:
	dsm_dev_done(node);
	return err;
}

static int dsm_ioc_ping(struct file *file, union dsm_args *args)
{
	struct dsm_node *node;
	int err;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	node = dsm_dev_node(args->ping.node);
	if (IS_ERR(node))
		return PTR_ERR(node);
	err = dsm_ping(node, &args->ping);
	dsm_dev_done(node);
	return err;
}

static int dsm_ioc_region_create(struct file *file, union dsm_args *args)
{
	struct dsm_region_args *a = &args->region;
	struct dsm_node *node;
	int err;

	if (a->flags || a->mode & ~0777 || !dsm_name_ends(a->name))
		return -EINVAL;
	node = dsm_dev_node(a->node);
	if (IS_ERR(node))
		return PTR_ERR(node);
	err = dsm_region_create(node, a->name, a->mode & ~current_umask(), &a->id);
	dsm_dev_done(node);
	return err;
}

static int dsm_ioc_region_remove(struct file *file, union dsm_args *args)
{
	struct dsm_region_args *a = &args->region;
	struct dsm_node *node;
	int err;

	if (a->flags || !dsm_name_ends(a->name))
		return -EINVAL;
	node = dsm_dev_node(a->node);
	if (IS_ERR(node))
		return PTR_ERR(node);
	err = dsm_region_remove(node, a->name);
	dsm_dev_done(node);
	return err;
}

static int dsm_ioc_region_next(struct file *file, union dsm_args *args)
{
	struct dsm_region_args *a = &args->region;
	struct dsm_wire_region in = { .cursor = cpu_to_le64(a->cursor) }, out;
	struct dsm_node *node;
	int err;

	if (a->flags)
		return -EINVAL;
	node = dsm_dev_node(a->node);
	if (IS_ERR(node))
		return PTR_ERR(node);
	err = -ENOENT;
	if (a->registrar < DSM_MAX_NODES && node->links[a->registrar])
		err = dsm_registrar_ask_region(node, a->registrar,
					       DSM_MSG_REGION_NEXT, &in, &out);
	dsm_dev_done(node);
	if (err)
		return err;
	a->id = le64_to_cpu(out.id);
	a->uid = le32_to_cpu(out.uid);
	a->gid = le32_to_cpu(out.gid);
	a->mode = le32_to_cpu(out.mode);
	a->nr_names = le32_to_cpu(out.nr_names);
	a->cursor = a->id;
	memcpy(a->name, out.name, sizeof(a->name));
	return 0;
}

/* ---- attaching ---- */

static int dsm_file_enlist(struct dsm_file *f)
{
	struct dsm_file *other;
	int err = 0;

	mutex_lock(&dsm_files_lock);
	list_for_each_entry(other, &dsm_files, list)
		if (other->mm == current->mm)
			err = -EBUSY;
	if (!err) {
		mmgrab(current->mm);
		f->mm = current->mm;
		list_add(&f->list, &dsm_files);
	}
	mutex_unlock(&dsm_files_lock);
	return err;
}

static void dsm_file_delist(struct dsm_file *f)
{
	mutex_lock(&dsm_files_lock);
	list_del(&f->list);
	mutex_unlock(&dsm_files_lock);
	mmdrop(f->mm);
	f->mm = NULL;
}

/* Count an attachment, unless the node is going down. */
static int dsm_file_count(struct dsm_node *node)
{
	atomic_inc(&node->attached);
	smp_mb__after_atomic();	/* pairs with that in dsm_node_down() */
	if (!READ_ONCE(node->down))
		return 0;
	atomic_dec(&node->attached);
	return -ENODEV;
}

static int dsm_ioc_attach(struct file *file, union dsm_args *args)
{
	struct dsm_attach_args *a = &args->attach;
	struct dsm_file *f = file->private_data;
	struct dsm_region *region;
	struct dsm_node *node;
	int err;

	if (a->flags || a->reserved || !dsm_name_ends(a->name))
		return -EINVAL;
	node = dsm_dev_node(a->node);
	if (IS_ERR(node))
		return PTR_ERR(node);
	mutex_lock(&f->lock);
	err = -EBUSY;
	if (f->region)
		goto unlock;
	region = dsm_region_open(node, a->name);
	if (IS_ERR(region)) {
		err = PTR_ERR(region);
		goto unlock;
	}
	err = dsm_region_permit(region, file->f_mode & FMODE_WRITE);
	if (err)
		goto put;
	err = dsm_file_enlist(f);
	if (err)
		goto put;
	err = dsm_file_count(node);
	if (err)
		goto delist;
	a->node = node->id;
	a->base = node->config.geometry.base;
	a->span = node->config.geometry.span;
	a->region = region->id;
	/*
	 * All maps of a region hang on one mapping, which no other region shares.
	 * An mmap() of this file must not see it change.
	 */
	if (mmap_write_lock_killable(current->mm)) {
		err = -EINTR;
		goto uncount;
	}
	file->f_mapping = region->mapping;
	smp_store_release(&f->region, region);	/* pairs with dsm_file_region() */
	mmap_write_unlock(current->mm);
	mutex_unlock(&f->lock);
	dsm_dev_done(node);
	return 0;

uncount:
	atomic_dec(&node->attached);
delist:
	dsm_file_delist(f);
put:
	dsm_region_put(region);
unlock:
	mutex_unlock(&f->lock);
	dsm_dev_done(node);
	return err;
}

/* Does another process of the region say that it holds an object? */
static bool dsm_file_other(struct dsm_file *f, u64 addr, unsigned int *patience)
{
	struct dsm_file *other;
	bool held = false;

	/* A list this long is nonsense: the words stay as they are. */
	if (!*patience)
		return true;
	--*patience;
	mutex_lock(&dsm_files_lock);
	list_for_each_entry(other, &dsm_files, list)
		if (other != f && READ_ONCE(other->region) == f->region)
			held |= dsm_held_has(other, addr, patience);
	mutex_unlock(&dsm_files_lock);
	return held;
}

/**
 * dsm_file_end() - a process has let go of the range: it is dead, or has detached
 * @f: its file
 *
 * Context: process, perhaps under mmap_lock.
 */
void dsm_file_end(struct dsm_file *f)
{
	dsm_grants_end(&f->grants, f->region);
	/* No chunk may be held for longer than its node has its device. */
	if (!dsm_node_enter(f->region->node))
		return;
	dsm_held_end(f, dsm_file_other);
	dsm_slabs_disown(f->region, f);
	dsm_node_leave(f->region->node);
}

/* The region of an attached file, for the process that attached it. */
static struct dsm_region *dsm_file_region(struct dsm_file *f)
{
	/* Pairs with the release in dsm_ioc_attach(). */
	struct dsm_region *region = smp_load_acquire(&f->region);

	if (!region)
		return ERR_PTR(-ENOTCONN);
	if (f->mm != current->mm)
		return ERR_PTR(-EPERM);
	return region;
}

/* ---- requests of an attached file; the node is entered ---- */

static int dsm_ioc_alloc(struct file *file, union dsm_args *args)
{
	struct dsm_file *f = file->private_data;

	return args->object.flags ? -EINVAL :
	       dsm_grant_alloc(&f->grants, f->region, &args->object.ref);
}

static int dsm_ioc_freeze(struct file *file, union dsm_args *args)
{
	struct dsm_file *f = file->private_data;

	return args->object.flags ? -EINVAL :
	       dsm_grant_freeze(&f->grants, f->region, &args->object.ref);
}

static int dsm_ioc_borrow(struct file *file, union dsm_args *args)
{
	struct dsm_file *f = file->private_data;
	struct dsm_object_args *a = &args->object;

	if (a->flags & DSM_BORROW_EXCL && !(file->f_mode & FMODE_WRITE))
		return -EACCES;
	return dsm_grant_borrow(&f->grants, f->region, &a->ref, a->flags);
}

static int dsm_ioc_return(struct file *file, union dsm_args *args)
{
	struct dsm_file *f = file->private_data;
	struct dsm_object_args *a = &args->object;

	return a->flags & ~DSM_BORROW_EXCL ? -EINVAL :
	       dsm_grant_return(&f->grants, f->region, &a->ref,
				a->flags & DSM_BORROW_EXCL);
}

static int dsm_ioc_drop(struct file *file, union dsm_args *args)
{
	struct dsm_file *f = file->private_data;
	struct dsm_region *region = f->region;
	struct dsm_ref *ref = &args->object.ref;
	int err;

	if (args->object.flags)
		return -EINVAL;
	err = dsm_ref_check(region->node, ref);
	if (err)
		return err;
	if (dsm_word_state(ref->version) == DSM_STATE_FROZEN)
		return -EROFS;
	if (!dsm_ref_local(region->node, ref))
		return dsm_claim_drop(region, ref);
	/* A small one of this node is dropped by its ledger word. */
	if (dsm_word_lines(ref->version) != DSM_LINES_LARGE)
		return -EINVAL;
	err = dsm_object_take(region, ref, DSM_BORROW_ACCEPT);
	if (!err)
		dsm_object_free(region, ref);
	return err == -EXDEV ? -EACCES : err;
}

static int dsm_ioc_alloc_on(struct file *file, union dsm_args *args)
{
	struct dsm_file *f = file->private_data;
	struct dsm_alloc_args *a = &args->alloc;

	if (a->flags || a->reserved || a->ref.addr || a->ref.version)
		return -EINVAL;
	return dsm_node_alloc(f->region, a->node, &a->ref);
}

static int dsm_ioc_slab(struct file *file, union dsm_args *args)
{
	struct dsm_file *f = file->private_data;

	return dsm_room_slab(f->region, f, args->slab.lines, &args->slab.addr);
}

static int dsm_ioc_fetch(struct file *file, union dsm_args *args)
{
	struct dsm_file *f = file->private_data;
	struct dsm_fetch_args *a = &args->fetch;
	bool wait = !(a->flags & DSM_FETCH_NOWAIT);
	struct dsm_ref few, *refs = &few;
	s32 one, *errors = &one;
	unsigned int i;
	int err;

	if (a->flags & ~DSM_FETCH_NOWAIT || a->reserved || !a->nr || a->nr > DSM_FETCH_MAX)
		return -EINVAL;
	if (a->nr > 1) {
		refs = kvmalloc_array(a->nr, sizeof(*refs) + sizeof(*errors), GFP_KERNEL);
		if (!refs)
			return -ENOMEM;
		errors = (s32 *)(refs + a->nr);
	}
	err = copy_from_user(refs, u64_to_user_ptr(a->refs), a->nr * sizeof(*refs)) ?
	      -EFAULT : 0;
	for (i = 0; i < a->nr && !err && !wait; i++)
		if (dsm_word_lines(refs[i].version) == DSM_LINES_LARGE)
			dsm_grant_prefetch(&f->grants, f->region, &refs[i]);
	if (!err)
		err = dsm_shadow_fetch(f->region, refs, a->nr, errors, wait);
	if (!err && wait && copy_to_user(u64_to_user_ptr(a->errors), errors,
					 a->nr * sizeof(*errors)))
		err = -EFAULT;
	if (refs != &few)
		kvfree(refs);
	return err;
}

static int dsm_ioc_move(struct file *file, union dsm_args *args)
{
	struct dsm_file *f = file->private_data;
	struct dsm_move_args *a = &args->move;
	int err;

	if (a->flags & ~(DSM_BORROW_DISCARD | DSM_BORROW_ACCEPT))
		return -EINVAL;
	err = dsm_slab_move(f->region, &a->ref, a->flags, a->to);
	if (err && fatal_signal_pending(current))
		dsm_held_abandon(f, a->to);
	return err;
}

/* May the handle be given away?  Of another node's objects the next borrow tells. */
static int dsm_file_check(struct dsm_region *region, const struct dsm_ref *ref)
{
	s32 error;
	int err;

	err = dsm_ref_check(region->node, ref);
	if (err)
		return err;
	if (!dsm_ref_local(region->node, ref))
		return region->node->links[dsm_ref_home(region->node, ref)] ? 0 : -EACCES;
	if (dsm_word_lines(ref->version) == DSM_LINES_LARGE) {
		err = dsm_object_check(region, ref);
		return err == -EXDEV ? -EACCES : err;
	}
	err = dsm_shadow_fetch(region, ref, 1, &error, true);
	return err ?: error;
}

static int dsm_ioc_publish(struct file *file, union dsm_args *args)
{
	struct dsm_file *f = file->private_data;
	struct dsm_name_args *a = &args->name;
	int err;

	if (a->flags & ~DSM_PUBLISH_ANEW || a->reserved || a->timeout_ms ||
	    !dsm_name_ends(a->name))
		return -EINVAL;
	err = dsm_file_check(f->region, &a->ref);
	return err ?: dsm_region_publish(f->region, a->name, &a->ref,
					 a->flags & DSM_PUBLISH_ANEW);
}

static int dsm_file_lookup(struct dsm_file *f, struct dsm_name_args *a, bool take)
{
	if (a->flags || a->reserved || !dsm_name_ends(a->name))
		return -EINVAL;
	return dsm_region_lookup(f->region, a->name, take, a->timeout_ms, &a->ref);
}

static int dsm_ioc_lookup(struct file *file, union dsm_args *args)
{
	return dsm_file_lookup(file->private_data, &args->name, false);
}

static int dsm_ioc_take(struct file *file, union dsm_args *args)
{
	return dsm_file_lookup(file->private_data, &args->name, true);
}

enum {
	DSM_IOC_ATTACHED = BIT(0),	/* the file must be attached */
	DSM_IOC_WRITER = BIT(1),	/* and have been opened for writing */
};

struct dsm_ioc {
	unsigned int cmd;
	size_t size;
	unsigned int flags;
	int (*run)(struct file *file, union dsm_args *args);
};

static const struct dsm_ioc dsm_iocs[] = {
	{ DSM_IOC_INFO, sizeof(struct dsm_info), 0, dsm_ioc_info },
	{ DSM_IOC_STAT, sizeof(struct dsm_stat_args), 0, dsm_ioc_stat },
	{ DSM_IOC_PING, sizeof(struct dsm_ping_args), 0, dsm_ioc_ping },
	{ DSM_IOC_REGION_CREATE, sizeof(struct dsm_region_args), 0,
	  dsm_ioc_region_create },
	{ DSM_IOC_REGION_REMOVE, sizeof(struct dsm_region_args), 0,
	  dsm_ioc_region_remove },
	{ DSM_IOC_REGION_NEXT, sizeof(struct dsm_region_args), 0,
	  dsm_ioc_region_next },
	{ DSM_IOC_ATTACH, sizeof(struct dsm_attach_args), 0, dsm_ioc_attach },
	{ DSM_IOC_ALLOC, sizeof(struct dsm_object_args),
	  DSM_IOC_ATTACHED | DSM_IOC_WRITER, dsm_ioc_alloc },
	{ DSM_IOC_BORROW, sizeof(struct dsm_object_args),
	  DSM_IOC_ATTACHED, dsm_ioc_borrow },
	{ DSM_IOC_RETURN, sizeof(struct dsm_object_args),
	  DSM_IOC_ATTACHED, dsm_ioc_return },
	{ DSM_IOC_DROP, sizeof(struct dsm_object_args),
	  DSM_IOC_ATTACHED | DSM_IOC_WRITER, dsm_ioc_drop },
	{ DSM_IOC_ALLOC_ON, sizeof(struct dsm_alloc_args),
	  DSM_IOC_ATTACHED | DSM_IOC_WRITER, dsm_ioc_alloc_on },
	{ DSM_IOC_SLAB, sizeof(struct dsm_slab_args),
	  DSM_IOC_ATTACHED | DSM_IOC_WRITER, dsm_ioc_slab },
	{ DSM_IOC_FETCH, sizeof(struct dsm_fetch_args),
	  DSM_IOC_ATTACHED, dsm_ioc_fetch },
	{ DSM_IOC_MOVE, sizeof(struct dsm_move_args),
	  DSM_IOC_ATTACHED | DSM_IOC_WRITER, dsm_ioc_move },
	{ DSM_IOC_FREEZE, sizeof(struct dsm_object_args),
	  DSM_IOC_ATTACHED | DSM_IOC_WRITER, dsm_ioc_freeze },
	{ DSM_IOC_PUBLISH, sizeof(struct dsm_name_args),
	  DSM_IOC_ATTACHED | DSM_IOC_WRITER, dsm_ioc_publish },
	{ DSM_IOC_LOOKUP, sizeof(struct dsm_name_args),
	  DSM_IOC_ATTACHED, dsm_ioc_lookup },
	{ DSM_IOC_TAKE, sizeof(struct dsm_name_args),
	  DSM_IOC_ATTACHED | DSM_IOC_WRITER, dsm_ioc_take },
};

static int dsm_dev_run(struct file *file, const struct dsm_ioc *ioc,
		       union dsm_args *args)
{
	struct dsm_region *region;
	int err;

	if (!(ioc->flags & DSM_IOC_ATTACHED))
		return ioc->run(file, args);
	region = dsm_file_region(file->private_data);
	if (IS_ERR(region))
		return PTR_ERR(region);
	if (ioc->flags & DSM_IOC_WRITER && !(file->f_mode & FMODE_WRITE))
		return -EACCES;
	if (!dsm_node_enter(region->node))
		return -ENODEV;
	err = READ_ONCE(region->gone) ? -EIDRM : ioc->run(file, args);
	dsm_node_leave(region->node);
	return err;
}

static long dsm_dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	const struct dsm_ioc *ioc = NULL;
	union dsm_args args;
	unsigned int i;
	u32 size;
	int err;

	for (i = 0; i < ARRAY_SIZE(dsm_iocs) && !ioc; i++)
		if (dsm_iocs[i].cmd == cmd)
			ioc = &dsm_iocs[i];
	if (!ioc)
		return -ENOTTY;
	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size < ioc->size || size > PAGE_SIZE)
		return size < ioc->size ? -EINVAL : -E2BIG;
	memset(&args, 0, sizeof(args));
	err = copy_struct_from_user(&args, ioc->size, user, size);
	if (err)
		return err;
	args.size = size;	/* it may have changed since it was checked */
	err = dsm_dev_run(file, ioc, &args);
	if (err)
		return err;
	return copy_to_user(user, &args, ioc->size) ? -EFAULT : 0;
}

static int dsm_dev_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct dsm_file *f = file->private_data;
	const struct dsm_geometry *geometry;
	struct dsm_region *region;

	region = dsm_file_region(f);
	if (IS_ERR(region))
		return PTR_ERR(region);
	geometry = &region->node->config.geometry;
	/* Of a read-only file a shared map has VM_MAYSHARE alone. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (READ_ONCE(region->gone))
		return -EIDRM;
	if (vma->vm_pgoff)
		return dsm_window_mmap(file, vma);
	if (vma->vm_start != geometry->base ||
	    vma->vm_end - vma->vm_start != geometry->span)
		return -EINVAL;
	if (atomic_cmpxchg(&f->mapped, 0, 1))
		return -EBUSY;
	/* A forked child attaches for itself; VM_IO keeps MADV_DOFORK out. */
	vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP |
			  VM_DONTCOPY | VM_NORESERVE);
	vma->vm_ops = &dsm_vm_ops;
	return 0;
}

static int dsm_dev_open(struct inode *inode, struct file *file)
{
	struct dsm_file *f = kzalloc(sizeof(*f), GFP_KERNEL);

	if (!f)
		return -ENOMEM;
	mutex_init(&f->lock);
	dsm_grants_init(&f->grants);
	file->private_data = f;
	return 0;
}

static int dsm_dev_release(struct inode *inode, struct file *file)
{
	struct dsm_file *f = file->private_data;

	if (f->region) {
		dsm_file_end(f);
		atomic_dec(&f->region->node->attached);
		dsm_file_delist(f);
		dsm_region_put(f->region);
	}
	dsm_held_free(f);
	kfree(f);
	return 0;
}

static const struct file_operations dsm_dev_fops = {
	.owner = THIS_MODULE,
	.open = dsm_dev_open,
	.release = dsm_dev_release,
	.unlocked_ioctl = dsm_dev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = dsm_dev_mmap,
};

static struct miscdevice dsm_dev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "dsm",
	.fops = &dsm_dev_fops,
	.mode = 0666,
};

int dsm_dev_init(void)
{
	return misc_register(&dsm_dev);
}

void dsm_dev_exit(void)
{
	misc_deregister(&dsm_dev);
}
