// SPDX-License-Identifier: GPL-2.0-only
/*
 * dsm-graph: from the text of a package index to the graph.
 *
 * An edge leads to what apt would install on a bare system: of alternatives the
 * first that exists, of a virtual package its first provider.  Versions are not
 * compared; of packages of one name the first counts.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "graph.h"

#define EDGES_MAX 4096 /* of one package */

struct text {
	const char *start;
	size_t len;
};

/* A stanza of the index. */
struct entry {
	struct text name;
	struct text version;
	struct text depends;
	struct text pre_depends;
	struct text provides;
	struct package *package;
};

/* Names, real and virtual: open addressing, at most half full. */
struct names {
	size_t mask;
	size_t used;
	struct slot {
		struct text name;
		struct entry *entry;
	} * slots;
};

struct index {
	char *text;
	struct entry *entries;
	size_t nr;
	size_t room;
	struct names names;
};

static struct slot *names_slot(const struct names *names, struct text name)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
	size_t i;

	for (i = 0; i < name.len; i++)
		hash = (hash ^ (unsigned char)name.start[i]) * 0x100000001b3;
	for (i = hash & names->mask;; i = (i + 1) & names->mask) {
		struct slot *slot = &names->slots[i];

		if (!slot->entry ||
		    (slot->name.len == name.len &&
		     !memcmp(slot->name.start, name.start, name.len)))
			return slot;
	}
}

static void names_grow(struct names *names)
{
	struct names old = *names;
	size_t i;

	names->mask = old.slots ? old.mask * 2 + 1 : 1023;
	names->slots = xcalloc(names->mask + 1, sizeof(*names->slots));
	for (i = 0; old.slots && i <= old.mask; i++)
		if (old.slots[i].entry)
			*names_slot(names, old.slots[i].name) = old.slots[i];
	free(old.slots);
}

/* The first to claim a name has it. */
static bool names_add(struct names *names, struct text name,
		      struct entry *entry)
{
	struct slot *slot;

	if (2 * names->used >= names->mask)
		names_grow(names);
	slot = names_slot(names, name);
	if (slot->entry)
		return false;
	slot->name = name;
	slot->entry = entry;
	names->used++;
	return true;
}

static void *arena_alloc(struct arenas *arenas, size_t size, size_t align)
{
	size_t start = (arenas->used + align - 1) & ~(align - 1);
	unsigned int i = arenas->nr;

	if (size > ARENA_BYTES)
		die("%zu bytes do not fit into an arena", size);
	if (i == 0 || start + size > ARENA_BYTES) {
		if (i == MAX_ARENAS)
			die("the graph needs more than %d arenas", MAX_ARENAS);
		if (arenas->dsm)
			arenas->base[i] = dsm_alloc(arenas->dsm, ARENA_BYTES,
						    &arenas->refs[i]);
		else
			arenas->base[i] = calloc(1, ARENA_BYTES);
		if (!arenas->base[i])
			die("cannot allocate an arena: %s", strerror(errno));
		arenas->nr++;
		start = 0;
	}
	arenas->used = start + size;
	return arenas->base[arenas->nr - 1] + start;
}

static const char *arena_string(struct arenas *arenas, struct text text)
{
	char *copy = arena_alloc(arenas, text.len + 1, 1);

	memcpy(copy, text.start, text.len);
	copy[text.len] = '\0';
	return copy;
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	struct stat st;
	char *text;
	size_t len;

	if (!file || fstat(fileno(file), &st))
		die("%s: %s", path, strerror(errno));
	text = xcalloc((size_t)st.st_size + 1, 1);
	len = fread(text, 1, (size_t)st.st_size, file);
	if (len != (size_t)st.st_size)
		die("%s: cannot be read", path);
	fclose(file);
	return text;
}

static bool field(const char *line, const char *end, const char *name,
		  struct text *value)
{
	size_t len = strlen(name);

	if ((size_t)(end - line) <= len || line[len] != ':' ||
	    memcmp(line, name, len) != 0)
		return false;
	line += len + 1;
	while (line < end && *line == ' ')
		line++;
	*value = (struct text){ line, (size_t)(end - line) };
	return true;
}

/* Lines that continue a field begin with a blank: not one of ours is folded. */
static const char *parse_stanza(const char *p, struct entry *entry)
{
	*entry = (struct entry){ .version = { "", 0 } };
	while (*p && *p != '\n') {
		const char *end = strchrnul(p, '\n');

		(void)(field(p, end, "Package", &entry->name) ||
		       field(p, end, "Version", &entry->version) ||
		       field(p, end, "Depends", &entry->depends) ||
		       field(p, end, "Pre-Depends", &entry->pre_depends) ||
		       field(p, end, "Provides", &entry->provides));
		p = *end ? end + 1 : end;
	}
	while (*p == '\n')
		p++;
	return p;
}

static void index_add(struct index *index, const struct entry *entry)
{
	if (index->nr == index->room) {
		index->room = index->room ? index->room * 2 : 4096;
		index->entries =
			realloc(index->entries, index->room * sizeof(*entry));
		if (!index->entries)
			die("no memory for the index");
	}
	index->entries[index->nr++] = *entry;
}

static bool ends_name(char c)
{
	return c == ' ' || c == ':' || c == '(' || c == ',' || c == '|';
}

/*
 * The next name of a relation field: "a:any (>= 1) | b, c".  Returns the
 * character that ends it, ',' or '|' or 0, or -1 if nothing is left.
 */
static int next_name(struct text *field, struct text *name)
{
	const char *p = field->start;
	const char *end = p + field->len;
	const char *stop;
	int separator;

	while (p < end && (*p == ' ' || *p == ','))
		p++;
	if (p == end)
		return -1;
	name->start = p;
	while (p < end && !ends_name(*p))
		p++;
	name->len = (size_t)(p - name->start);
	for (stop = p; stop < end && *stop != ',' && *stop != '|'; stop++)
		;
	separator = stop < end ? *stop++ : 0;
	*field = (struct text){ stop, (size_t)(end - stop) };
	return separator;
}

static void add_provided(struct index *index, struct entry *entry)
{
	struct text field = entry->provides;
	struct text name;

	while (next_name(&field, &name) >= 0)
		names_add(&index->names, name, entry);
}

static void index_read(struct index *index, const char *path)
{
	const char *p;
	size_t kept = 0;
	size_t i;

	index->text = read_file(path);
	for (p = index->text; *p;) {
		struct entry entry;

		p = parse_stanza(p, &entry);
		if (entry.name.len)
			index_add(index, &entry);
	}
	/* Entries move while they are kept, but only to where kept ones go. */
	for (i = 0; i < index->nr; i++) {
		index->entries[kept] = index->entries[i];
		if (names_add(&index->names, index->entries[kept].name,
			      &index->entries[kept]))
			kept++;
	}
	index->nr = kept;
	/* Real packages come before providers of their name. */
	for (i = 0; i < index->nr; i++)
		add_provided(index, &index->entries[i]);
}

struct edges {
	const struct package *from;
	const struct package *to[EDGES_MAX];
	uint32_t nr;
};

static void edge_add(struct edges *edges, const struct package *to)
{
	uint32_t i;

	if (to == edges->from)
		return;
	for (i = 0; i < edges->nr; i++)
		if (edges->to[i] == to)
			return;
	if (edges->nr == EDGES_MAX)
		die("%s needs more than %d packages", edges->from->name,
		    EDGES_MAX);
	edges->to[edges->nr++] = to;
}

/* Adds the field's edges, returns how many relations nothing satisfies. */
static uint32_t resolve(const struct index *index, struct text field,
			struct edges *edges)
{
	const struct entry *found = NULL;
	uint32_t unresolved = 0;
	struct text name;
	int separator;

	while ((separator = next_name(&field, &name)) >= 0) {
		if (!found)
			found = names_slot(&index->names, name)->entry;
		if (separator == '|')
			continue;
		if (found)
			edge_add(edges, found->package);
		else
			unresolved++;
		found = NULL;
	}
	return unresolved;
}

static void add_edges(struct arenas *arenas, const struct index *index,
		      struct graph *graph, const struct entry *entry)
{
	struct edges edges = { .from = entry->package };
	const struct package **needs;

	graph->nr_unresolved += resolve(index, entry->pre_depends, &edges);
	graph->nr_unresolved += resolve(index, entry->depends, &edges);
	if (!edges.nr)
		return;
	needs = arena_alloc(arenas, edges.nr * sizeof(*needs), sizeof(*needs));
	memcpy(needs, edges.to, edges.nr * sizeof(*needs));
	entry->package->needs = needs;
	entry->package->nr_needs = edges.nr;
	graph->nr_edges += edges.nr;
}

struct graph *graph_build(struct arenas *arenas, const char *path)
{
	struct index index = { 0 };
	const struct package **link;
	struct graph *graph;
	size_t i;

	index_read(&index, path);
	if (!index.nr)
		die("%s: no packages", path);
	graph = arena_alloc(arenas, sizeof(*graph), sizeof(void *));
	link = &graph->first;
	for (i = 0; i < index.nr; i++) {
		struct entry *entry = &index.entries[i];
		struct package *package =
			arena_alloc(arenas, sizeof(*package), sizeof(void *));

		package->name = arena_string(arenas, entry->name);
		package->version = arena_string(arenas, entry->version);
		package->id = graph->nr_packages++;
		entry->package = package;
		*link = package;
		link = &package->next;
	}
	for (i = 0; i < index.nr; i++)
		add_edges(arenas, &index, graph, &index.entries[i]);

	graph->nr_arenas = arenas->nr;
	for (i = 0; i < arenas->nr; i++) {
		graph->arenas[i] = arenas->base[i];
		graph->arena_used[i] = i + 1 < arenas->nr ? ARENA_BYTES
							  : arenas->used;
	}
	free(index.names.slots);
	free(index.entries);
	free(index.text);
	return graph;
}
