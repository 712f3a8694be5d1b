/* SPDX-License-Identifier: GPL-2.0-only */
/* A part of kernel.c: lib/hexdump.c, lib/ctype.c, lib/list_sort.c, lib/llist.c. */
#include <linux/errno.h>
#include <linux/printk.h>
#include <linux/types.h>

/* include/linux/ctype.h: upper, lower, digit, control, punctuation, space, hexadecimal, the space itself. */
enum { U = 1, L = 2, D = 4, C = 8, P = 16, S = 32, X = 64, SP = 128 };
const unsigned char _ctype[256] = {
	[0 ... 8] = C, [9 ... 13] = C | S, [14 ... 31] = C, [' '] = S | SP, ['!' ... '/'] = P, ['0' ... '9'] = D,
	[':' ... '@'] = P, ['A' ... 'F'] = U | X, ['G' ... 'Z'] = U, ['[' ... '`'] = P, ['a' ... 'f'] = L | X,
	['g' ... 'z'] = L, ['{' ... '~'] = P, [127] = C, [160] = S | SP, [161 ... 191] = P, [192 ... 214] = U, [215] = P,
	[216 ... 222] = U, [223 ... 246] = L, [247] = P, [248 ... 255] = L,
};

const char hex_asc[] = "0123456789abcdef";
const char hex_asc_upper[] = "0123456789ABCDEF";

int hex_to_bin(unsigned char c);
int hex_to_bin(unsigned char c)
{
	return c >= '0' && c <= '9' ? c - '0' : _ctype[c] & X ? (c | 0x20) - 'a' + 10 : -1;
}

int hex2bin(u8 *to, const char *text, size_t count);
int hex2bin(u8 *to, const char *text, size_t count)
{
	for (; count--; text += 2) {
		int high = hex_to_bin(text[0]), low = high < 0 ? -1 : hex_to_bin(text[1]);

		if (low < 0)
			return -EINVAL;
		*to++ = high << 4 | low;
	}
	return 0;
}

char *bin2hex(char *to, const void *from, size_t count);
char *bin2hex(char *to, const void *from, size_t count)
{
	for (const u8 *at = from; count--; at++) {
		*to++ = hex_asc[*at >> 4];
		*to++ = hex_asc[*at & 15];
	}
	return to;
}

/* A line that is built: `length` counts what does not fit, too. */
struct hex_line {
	char *text;
	size_t room;
	int length;
};

static void hex_put(struct hex_line *line, char c)
{
	if (line->length + 1 < line->room)
		line->text[line->length] = c;
	line->length++;
}

int hex_dump_to_buffer(const void *from, size_t length, int rowsize, int groupsize, char *text, size_t room, bool ascii);
int hex_dump_to_buffer(const void *from, size_t length, int rowsize, int groupsize, char *text, size_t room, bool ascii)
{
	struct hex_line line = { .text = text, .room = room };
	const u8 *bytes = from;
	int column;

	rowsize = rowsize == 32 ? 32 : 16;
	if (length > rowsize)
		length = rowsize;
	if ((groupsize != 2 && groupsize != 4 && groupsize != 8) || length % groupsize)
		groupsize = 1;
	column = rowsize * 2 + rowsize / groupsize + 1;
	/* A group is a number: its last byte comes first. */
	for (size_t i = 0; i < length; i += groupsize) {
		if (i)
			hex_put(&line, ' ');
		for (int j = groupsize; j--;) {
			hex_put(&line, hex_asc[bytes[i + j] >> 4]);
			hex_put(&line, hex_asc[bytes[i + j] & 15]);
		}
	}
	if (ascii && length) {
		while (line.length < column)
			hex_put(&line, ' ');
		for (size_t i = 0; i < length; i++)
			hex_put(&line, bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '.');
	}
	if (room)
		text[line.length < room ? line.length : room - 1] = '\0';
	return line.length;
}

enum { DUMP_PREFIX_NONE, DUMP_PREFIX_ADDRESS, DUMP_PREFIX_OFFSET };

void print_hex_dump(const char *level, const char *prefix, int type, int rowsize, int groupsize, const void *from,
		    size_t length, bool ascii);
void print_hex_dump(const char *level, const char *prefix, int type, int rowsize, int groupsize, const void *from,
		    size_t length, bool ascii)
{
	char text[32 * 3 + 2 + 32 + 1];

	rowsize = rowsize == 32 ? 32 : 16;
	for (size_t i = 0; i < length; i += rowsize) {
		const u8 *row = (const u8 *)from + i;

		hex_dump_to_buffer(row, length - i, rowsize, groupsize, text, sizeof(text), ascii);
		if (type == DUMP_PREFIX_ADDRESS)
			printk("%s%s%p: %s\n", level, prefix, row, text);
		else if (type == DUMP_PREFIX_OFFSET)
			printk("%s%s%.8x: %s\n", level, prefix, (unsigned int)i, text);
		else
			printk("%s%s%s\n", level, prefix, text);
	}
}

/* Entries that compare equal keep their order. */
void list_sort(void *priv, struct list_head *head, int (*compare)(void *, const struct list_head *, const struct list_head *));
void list_sort(void *priv, struct list_head *head, int (*compare)(void *, const struct list_head *, const struct list_head *))
{
	struct list_head *entry, *next, *at;

	for (entry = head->next; entry != head; entry = next) {
		next = entry->next;
		for (at = entry->prev; at != head && compare(priv, at, entry) > 0; at = at->prev)
			;
		list_move(entry, at);
	}
}

struct llist_node {
	struct llist_node *next;
};
struct llist_head {
	struct llist_node *first;
};

/* True if the list was empty. */
bool llist_add_batch(struct llist_node *first, struct llist_node *last, struct llist_head *head);
bool llist_add_batch(struct llist_node *first, struct llist_node *last, struct llist_head *head)
{
	do {
		last->next = head->first;
	} while (!__sync_bool_compare_and_swap(&head->first, last->next, first));
	return !last->next;
}

struct llist_node *llist_del_first(struct llist_head *head);
struct llist_node *llist_del_first(struct llist_head *head)
{
	struct llist_node *first;

	do {
		first = head->first;
	} while (first && !__sync_bool_compare_and_swap(&head->first, first, first->next));
	return first;
}

struct llist_node *llist_reverse_order(struct llist_node *node);
struct llist_node *llist_reverse_order(struct llist_node *node)
{
	struct llist_node *reversed = NULL;

	while (node) {
		struct llist_node *next = node->next;

		node->next = reversed;
		reversed = node;
		node = next;
	}
	return reversed;
}
