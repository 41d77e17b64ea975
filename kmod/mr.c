// SPDX-License-Identifier: GPL-2.0-only
/* Memory registration, by a request on the node's link to itself. */
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include "mr.h"
#include "node.h"

struct dsm_mr_op {
	struct dsm_op op;
	struct completion done;
};

static void dsm_mr_done(struct dsm_op *op)
{
	complete(&container_of(op, struct dsm_mr_op, op)->done);
}

static int dsm_mr_post(struct dsm_node *node, struct ib_mr *mr, int access)
{
	struct dsm_mr_op reg = {
		.op.done = dsm_mr_done,
		.done = COMPLETION_INITIALIZER_ONSTACK(reg.done),
	};
	struct ib_reg_wr wr = {
		.wr.opcode = IB_WR_REG_MR,
		.mr = mr,
		.key = mr->rkey,
		.access = access,
	};
	struct dsm_session *s;
	int err;

	err = dsm_link_wait(node->links[node->id], TASK_KILLABLE);
	if (err)
		return err;
	s = dsm_link_get(node->links[node->id]);
	if (!s)
		return -EHOSTDOWN;
	err = dsm_op_post(&reg.op, dsm_session_data(s), &wr.wr, true);
	if (err)
		return err;
	wait_for_completion(&reg.done);
	return reg.op.error;
}

/**
 * dsm_mr_register() - let peers reach pages
 * @node: whose link to itself is up
 * @mr: out
 * @pages: in the linear map
 * @nr: at most DSM_MR_MAX_PAGES
 * @access: IB_ACCESS_* flags; never REMOTE_WRITE
 *
 * Context: process, sleeps.
 * Return: 0, -ENOMEM, -EHOSTDOWN, -EINTR or an error of the RDMA core.
 */
int dsm_mr_register(struct dsm_node *node, struct dsm_mr *mr, struct page **pages,
		    unsigned int nr, int access)
{
	struct scatterlist *sg;
	unsigned int i, mapped;
	int err;

	sg = kvmalloc_array(nr, sizeof(*sg), GFP_KERNEL);
	if (!sg)
		return -ENOMEM;
	sg_init_table(sg, nr);
	for (i = 0; i < nr; i++)
		sg_set_page(&sg[i], pages[i], PAGE_SIZE, 0);
	mr->mr = ib_alloc_mr(node->pd, IB_MR_TYPE_MEM_REG, nr);
	if (IS_ERR(mr->mr)) {
		err = PTR_ERR(mr->mr);
		goto free;
	}
	/* An IOMMU may join neighbours: fewer entries, the same bytes. */
	mapped = ib_dma_map_sg(node->device, sg, nr, DMA_BIDIRECTIONAL);
	if (!mapped) {
		err = -ENOMEM;
		goto dereg;
	}
	if (ib_map_mr_sg(mr->mr, sg, mapped, NULL, PAGE_SIZE) != mapped ||
	    mr->mr->length != (u64)nr << PAGE_SHIFT) {
		err = -EINVAL;
		goto unmap;
	}
	ib_update_fast_reg_key(mr->mr, ib_inc_rkey(mr->mr->rkey));
	err = dsm_mr_post(node, mr->mr, access);
	if (err)
		goto unmap;
	mr->sg = sg;
	mr->pages = nr;
	return 0;

unmap:
	ib_dma_unmap_sg(node->device, sg, nr, DMA_BIDIRECTIONAL);
dereg:
	ib_dereg_mr(mr->mr);
free:
	kvfree(sg);
	mr->mr = NULL;
	return err;
}

/**
 * dsm_mr_unregister() - end a registration; its key is refused from now on
 * @node: as registered
 * @mr: as registered; nothing happens if it was not
 */
void dsm_mr_unregister(struct dsm_node *node, struct dsm_mr *mr)
{
	if (!mr->mr)
		return;
	ib_dereg_mr(mr->mr);
	ib_dma_unmap_sg(node->device, mr->sg, mr->pages, DMA_BIDIRECTIONAL);
	kvfree(mr->sg);
	mr->mr = NULL;
}
