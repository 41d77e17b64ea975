// SPDX-License-Identifier: GPL-2.0-only
/* dsmctl: the cluster file. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dsmctl.h"

#define BLANKS " \t\r\n"
#define DEFAULT_PORT 7471

struct parser {
	const char *path;
	unsigned int line;
	char *rest; /* of the line, for strtok_r() */
	struct cluster *cluster;
};

__attribute__((format(printf, 2, 3))) static int
parse_error(const struct parser *p, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%u: ", p->path, p->line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -1;
}

static char *next_word(struct parser *p)
{
	return strtok_r(NULL, BLANKS, &p->rest);
}

/* Zero stands for "not given" in struct cluster and is no legal value. */
static int number_word(struct parser *p, const char *what, bool suffix,
		       uint64_t max, uint64_t *value)
{
	const char *word = next_word(p);

	if (*value)
		return parse_error(p, "%s is given twice", what);
	if (!word)
		return parse_error(p, "%s needs a number", what);
	if (!parse_number(word, suffix, value) || *value == 0 || *value > max)
		return parse_error(p, "bad number '%s' for %s", word, what);
	return 0;
}

static int parse_name(struct parser *p)
{
	struct cluster *c = p->cluster;
	const char *word = next_word(p);
	const char *s;

	if (c->name[0])
		return parse_error(p, "cluster is given twice");
	if (!word)
		return parse_error(p, "cluster needs a name");
	if (strlen(word) >= sizeof(c->name))
		return parse_error(p, "the name of the cluster is too long");
	for (s = word; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '-' && *s != '_')
			return parse_error(
				p, "bad character '%c' in the cluster's name",
				*s);
	memcpy(c->name, word, (size_t)(s - word) + 1);
	return 0;
}

static int parse_key(struct parser *p)
{
	struct cluster *c = p->cluster;
	const char *word = next_word(p);

	if (c->key[0])
		return parse_error(p, "key is given twice");
	/* The key itself stays out of messages. */
	if (!word || strlen(word) != sizeof(c->key) - 1 ||
	    strspn(word, "0123456789abcdefABCDEF") != sizeof(c->key) - 1)
		return parse_error(p, "the key must be %zu hex digits",
				   sizeof(c->key) - 1);
	memcpy(c->key, word, sizeof(c->key));
	return 0;
}

static int parse_epoch(struct parser *p)
{
	return number_word(p, "epoch", false, UINT64_MAX, &p->cluster->epoch);
}

static int parse_base(struct parser *p)
{
	return number_word(p, "base", true, UINT64_MAX, &p->cluster->base);
}

static int parse_span(struct parser *p)
{
	return number_word(p, "span", true, UINT64_MAX, &p->cluster->span);
}

static int parse_max_nodes(struct parser *p)
{
	return number_word(p, "max_nodes", false, DSM_MAX_NODES,
			   &p->cluster->max_nodes);
}

static int parse_addr(struct parser *p, struct cluster_node *node)
{
	struct in6_addr bytes;
	const char *word = next_word(p);
	int family;

	if (node->addr[0])
		return parse_error(p, "addr is given twice");
	if (!word)
		return parse_error(p, "addr needs an address");
	family = strchr(word, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, word, &bytes) != 1)
		return parse_error(p, "bad address '%s'", word);
	/* One spelling per address, so that duplicates show. */
	inet_ntop(family, &bytes, node->addr, sizeof(node->addr));
	return 0;
}

/* Partitions grow by chunks. */
static int parse_memory(struct parser *p, struct cluster_node *node)
{
	if (number_word(p, "memory", true, UINT64_MAX, &node->memory))
		return -1;
	if (node->memory % DSM_CHUNK_SIZE)
		return parse_error(p, "memory must be a multiple of %lu MiB",
				   DSM_CHUNK_SIZE >> 20);
	return 0;
}

static int parse_node_word(struct parser *p, struct cluster_node *node,
			   const char *word)
{
	if (!strcmp(word, "addr"))
		return parse_addr(p, node);
	if (!strcmp(word, "port"))
		return number_word(p, word, false, UINT16_MAX, &node->port);
	if (!strcmp(word, "memory"))
		return parse_memory(p, node);
	if (!strcmp(word, "cache"))
		return number_word(p, word, true, UINT64_MAX, &node->cache);
	return parse_error(p, "unknown word '%s' for a node", word);
}

static int check_duplicate(const struct parser *p,
			   const struct cluster_node *node)
{
	const struct cluster *c = p->cluster;
	unsigned int i;

	for (i = 0; i < c->nr_nodes; i++) {
		const struct cluster_node *other = &c->nodes[i];

		if (other->id == node->id)
			return parse_error(
				p, "node %u is given twice, first in line %u",
				node->id, other->line);
		if (other->port == node->port &&
		    !strcmp(other->addr, node->addr))
			return parse_error(
				p,
				"node %u has the address and port of node %u in line %u",
				node->id, other->id, other->line);
	}
	return 0;
}

static int parse_node(struct parser *p)
{
	struct cluster *c = p->cluster;
	struct cluster_node node = { .line = p->line };
	const char *word = next_word(p);

	if (!word || !device_parse_node(word, &node.id))
		return parse_error(p, "node needs an id from 0 to %d",
				   DSM_MAX_NODES - 1);
	while ((word = next_word(p)))
		if (parse_node_word(p, &node, word))
			return -1;
	if (!node.addr[0])
		return parse_error(p, "node %u has no addr", node.id);
	if (!node.port)
		node.port = DEFAULT_PORT;
	if (check_duplicate(p, &node))
		return -1;
	/* Ids are unique and below DSM_MAX_NODES: there is room. */
	c->nodes[c->nr_nodes++] = node;
	return 0;
}

static const struct statement {
	const char *word;
	int (*parse)(struct parser *p);
} statements[] = {
	{ "cluster", parse_name }, { "key", parse_key },
	{ "epoch", parse_epoch },  { "base", parse_base },
	{ "span", parse_span },	   { "max_nodes", parse_max_nodes },
	{ "node", parse_node },
};

static int parse_line(struct parser *p, char *text)
{
	const char *word;
	size_t i;

	text[strcspn(text, "#")] = '\0';
	word = strtok_r(text, BLANKS, &p->rest);
	if (!word)
		return 0;
	for (i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		if (strcmp(word, statements[i].word))
			continue;
		if (statements[i].parse(p))
			return -1;
		word = next_word(p);
		if (word)
			return parse_error(p, "unexpected word '%s'", word);
		return 0;
	}
	return parse_error(p, "unknown word '%s'", word);
}

static int check_complete(const struct parser *p)
{
	const struct cluster *c = p->cluster;
	unsigned int i;

	if (!c->name[0])
		return parse_error(p, "the line 'cluster NAME' is missing");
	if (!c->key[0])
		return parse_error(p, "the line 'key HEX' is missing");
	if (!c->nr_nodes)
		return parse_error(p, "there is no node");
	for (i = 0; c->max_nodes && i < c->nr_nodes; i++)
		if (c->nodes[i].id >= c->max_nodes)
			return parse_error(
				p, "node %u in line %u is not below max_nodes",
				c->nodes[i].id, c->nodes[i].line);
	return 0;
}

int cluster_parse(struct cluster *cluster, const char *path)
{
	struct parser p = { .path = path, .cluster = cluster };
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;
	ssize_t len;
	int ret = 0;

	if (!file) {
		fail("%s: %s", path, strerror(errno));
		return -1;
	}
	memset(cluster, 0, sizeof(*cluster));
	while (!ret && (len = getline(&text, &size, file)) >= 0) {
		p.line++;
		if (strlen(text) != (size_t)len)
			ret = parse_error(&p, "a NUL byte");
		else
			ret = parse_line(&p, text);
	}
	if (!ret && ferror(file)) {
		fail("%s: %s", path, strerror(errno));
		ret = -1;
	}
	if (!ret)
		ret = check_complete(&p);
	free(text);
	fclose(file);
	return ret;
}
