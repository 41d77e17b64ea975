/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dsm

#if !defined(DSM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define DSM_TRACE_H

#include <linux/tracepoint.h>
#include "compat.h"

TRACE_EVENT(dsm_session_fail,
	TP_PROTO(u32 node, u32 active, u32 passive, const char *why),
	TP_ARGS(node, active, passive, why),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(u32, active)
		__field(u32, passive)
		__string(why, why)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->active = active;
		__entry->passive = passive;
		dsm_assign_str(why, why);
	),
	TP_printk("node %u: session of %u with %u: %s", __entry->node,
		  __entry->active, __entry->passive, __get_str(why))
);

TRACE_EVENT(dsm_link_state,
	TP_PROTO(u32 node, u32 peer, const char *from, const char *to),
	TP_ARGS(node, peer, from, to),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(u32, peer)
		__string(from, from)
		__string(to, to)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->peer = peer;
		dsm_assign_str(from, from);
		dsm_assign_str(to, to);
	),
	TP_printk("node %u: link to %u: %s -> %s", __entry->node, __entry->peer,
		  __get_str(from), __get_str(to))
);

TRACE_EVENT(dsm_chunk,
	TP_PROTO(u32 node, u32 index, u64 region, bool populated),
	TP_ARGS(node, index, region, populated),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(u32, index)
		__field(u64, region)
		__field(bool, populated)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->index = index;
		__entry->region = region;
		__entry->populated = populated;
	),
	TP_printk("node %u: chunk %u of region %#llx %s", __entry->node,
		  __entry->index, __entry->region,
		  __entry->populated ? "populated" : "released")
);

TRACE_EVENT(dsm_fault,
	TP_PROTO(u32 node, unsigned long pgoff, unsigned int flags),
	TP_ARGS(node, pgoff, flags),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(unsigned long, pgoff)
		__field(unsigned int, flags)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->pgoff = pgoff;
		__entry->flags = flags;
	),
	TP_printk("node %u: page %#lx flags %#x", __entry->node, __entry->pgoff,
		  __entry->flags)
);

TRACE_EVENT(dsm_fetch,
	TP_PROTO(u32 node, u32 home, unsigned long pgoff, unsigned int pages, bool words),
	TP_ARGS(node, home, pgoff, pages, words),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(u32, home)
		__field(unsigned long, pgoff)
		__field(unsigned int, pages)
		__field(bool, words)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->home = home;
		__entry->pgoff = pgoff;
		__entry->pages = pages;
		__entry->words = words;
	),
	TP_printk("node %u: from %u: %u pages at %#lx%s", __entry->node, __entry->home,
		  __entry->pages, __entry->pgoff, __entry->words ? " and words" : "")
);

TRACE_EVENT(dsm_fetched,
	TP_PROTO(u32 node, unsigned long pgoff, int err),
	TP_ARGS(node, pgoff, err),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(unsigned long, pgoff)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->pgoff = pgoff;
		__entry->err = err;
	),
	TP_printk("node %u: page %#lx: %d", __entry->node, __entry->pgoff, __entry->err)
);

TRACE_EVENT(dsm_evict,
	TP_PROTO(u32 node, unsigned long pgoff),
	TP_ARGS(node, pgoff),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(unsigned long, pgoff)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->pgoff = pgoff;
	),
	TP_printk("node %u: page %#lx", __entry->node, __entry->pgoff)
);

TRACE_EVENT(dsm_pull,
	TP_PROTO(u32 node, u32 home, unsigned long pgoff, unsigned int line,
		 unsigned int lines, bool whole),
	TP_ARGS(node, home, pgoff, line, lines, whole),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(u32, home)
		__field(unsigned long, pgoff)
		__field(unsigned int, line)
		__field(unsigned int, lines)
		__field(bool, whole)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->home = home;
		__entry->pgoff = pgoff;
		__entry->line = line;
		__entry->lines = lines;
		__entry->whole = whole;
	),
	TP_printk("node %u: from %u: %u lines at %#lx+%u%s", __entry->node,
		  __entry->home, __entry->lines, __entry->pgoff, __entry->line,
		  __entry->whole ? ", page locked" : "")
);

TRACE_EVENT(dsm_pulled,
	TP_PROTO(u32 node, unsigned long pgoff, unsigned int line, unsigned int lines,
		 int err),
	TP_ARGS(node, pgoff, line, lines, err),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(unsigned long, pgoff)
		__field(unsigned int, line)
		__field(unsigned int, lines)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->pgoff = pgoff;
		__entry->line = line;
		__entry->lines = lines;
		__entry->err = err;
	),
	TP_printk("node %u: %u lines at %#lx+%u: %d", __entry->node, __entry->lines,
		  __entry->pgoff, __entry->line, __entry->err)
);

TRACE_EVENT(dsm_claim,
	TP_PROTO(u32 node, u32 home, u64 addr, u64 expect, u64 want, u64 found),
	TP_ARGS(node, home, addr, expect, want, found),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(u32, home)
		__field(u64, addr)
		__field(u64, expect)
		__field(u64, want)
		__field(u64, found)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->home = home;
		__entry->addr = addr;
		__entry->expect = expect;
		__entry->want = want;
		__entry->found = found;
	),
	TP_printk("node %u: of %u: %#llx: %#llx -> %#llx found %#llx", __entry->node,
		  __entry->home, __entry->addr, __entry->expect, __entry->want,
		  __entry->found)
);

#endif /* DSM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
