/* SPDX-License-Identifier: GPL-2.0-only */
/* A part of kernel.c: lib/rbtree.c. The nodes are those of the kernel's headers; the tree is a red-black tree as in textbooks. */
#include <linux/types.h>

/* The lowest bit of `parent_color` is 1 in a black node; a node that is in no tree is its own parent. */
struct rb_node {
	unsigned long parent_color;
	struct rb_node *right, *left;
};

struct rb_root {
	struct rb_node *node;
};

#define BLACK 1ul

static struct rb_node *rb_up(const struct rb_node *node)
{
	return (struct rb_node *)(node->parent_color & ~3ul);
}

static struct rb_node **rb_child(struct rb_node *node, bool right)
{
	return right ? &node->right : &node->left;
}

static bool is_red(const struct rb_node *node)
{
	return node && !(node->parent_color & BLACK);
}

static void rb_set_up(struct rb_node *node, struct rb_node *parent)
{
	if (node)
		node->parent_color = (unsigned long)parent | (node->parent_color & 3);
}

/* `node` takes the place of `old` below `parent`; without one it is the root. */
static void rb_set_child(struct rb_root *root, struct rb_node *parent, struct rb_node *old, struct rb_node *node)
{
	if (parent)
		*rb_child(parent, parent->right == old) = node;
	else
		root->node = node;
}

/* `node` goes down, to the right or to the left, and its other child takes its place. */
static void rb_rotate(struct rb_root *root, struct rb_node *node, bool right)
{
	struct rb_node *up = *rb_child(node, !right), *parent = rb_up(node);

	*rb_child(node, !right) = *rb_child(up, right);
	rb_set_up(*rb_child(node, !right), node);
	*rb_child(up, right) = node;
	rb_set_child(root, parent, node, up);
	rb_set_up(up, parent);
	rb_set_up(node, up);
}

void rb_insert_color(struct rb_node *node, struct rb_root *root);
void rb_insert_color(struct rb_node *node, struct rb_root *root)
{
	struct rb_node *parent, *grand, *uncle;
	bool right;

	while (is_red(parent = rb_up(node))) {
		grand = rb_up(parent);
		right = parent == grand->right;
		uncle = *rb_child(grand, !right);
		grand->parent_color &= ~BLACK;
		if (is_red(uncle)) {
			parent->parent_color |= BLACK;
			uncle->parent_color |= BLACK;
			node = grand;
			continue;
		}
		if (node == *rb_child(parent, !right)) {
			rb_rotate(root, parent, right);
			node = parent;
			parent = rb_up(node);
		}
		parent->parent_color |= BLACK;
		rb_rotate(root, grand, !right);
	}
	root->node->parent_color |= BLACK;
}

/* The way through `node`, a child of `parent` or NULL, has one black node too few. */
static void rb_rebalance(struct rb_root *root, struct rb_node *node, struct rb_node *parent)
{
	struct rb_node *sibling;
	bool right;

	while (parent && !is_red(node)) {
		right = parent->left != node;
		sibling = *rb_child(parent, !right);
		if (is_red(sibling)) {
			sibling->parent_color |= BLACK;
			parent->parent_color &= ~BLACK;
			rb_rotate(root, parent, right);
			sibling = *rb_child(parent, !right);
		}
		if (!is_red(sibling->left) && !is_red(sibling->right)) {
			sibling->parent_color &= ~BLACK;
			node = parent;
			parent = rb_up(node);
			continue;
		}
		if (!is_red(*rb_child(sibling, !right))) {
			(*rb_child(sibling, right))->parent_color |= BLACK;
			sibling->parent_color &= ~BLACK;
			rb_rotate(root, sibling, !right);
			sibling = *rb_child(parent, !right);
		}
		sibling->parent_color = (sibling->parent_color & ~BLACK) | (parent->parent_color & BLACK);
		parent->parent_color |= BLACK;
		(*rb_child(sibling, !right))->parent_color |= BLACK;
		rb_rotate(root, parent, right);
		return;
	}
	if (node)
		node->parent_color |= BLACK;
}

void rb_erase(struct rb_node *node, struct rb_root *root);
void rb_erase(struct rb_node *node, struct rb_root *root)
{
	struct rb_node *next = node->right, *parent = rb_up(node), *child;
	bool lost_black;

	if (node->left && node->right) {
		while (next->left)
			next = next->left;
		child = next->right;
		lost_black = !is_red(next);
		parent = rb_up(next);
		if (parent == node) {
			parent = next;
		} else {
			parent->left = child;
			next->right = node->right;
			rb_set_up(next->right, next);
		}
		rb_set_up(child, parent);
		next->left = node->left;
		rb_set_up(next->left, next);
		rb_set_child(root, rb_up(node), node, next);
		next->parent_color = node->parent_color;
	} else {
		child = node->left ?: node->right;
		lost_black = !is_red(node);
		rb_set_child(root, parent, node, child);
		rb_set_up(child, parent);
	}
	if (lost_black)
		rb_rebalance(root, child, parent);
}

static struct rb_node *rb_outermost(struct rb_node *node, bool right)
{
	while (node && *rb_child(node, right))
		node = *rb_child(node, right);
	return node;
}

static struct rb_node *rb_neighbour(struct rb_node *node, bool right)
{
	struct rb_node *parent;

	if (rb_up(node) == node)
		return NULL;
	if (*rb_child(node, right))
		return rb_outermost(*rb_child(node, right), !right);
	while ((parent = rb_up(node)) && node == *rb_child(parent, right))
		node = parent;
	return parent;
}

struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_first(const struct rb_root *root)
{
	return rb_outermost(root->node, false);
}

struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root)
{
	return rb_outermost(root->node, true);
}

struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_next(const struct rb_node *node)
{
	return rb_neighbour((struct rb_node *)node, true);
}

struct rb_node *rb_prev(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node)
{
	return rb_neighbour((struct rb_node *)node, false);
}

/* Children come before their parent. */
static struct rb_node *rb_deepest(struct rb_node *node)
{
	while (node && (node->left || node->right))
		node = node->left ?: node->right;
	return node;
}

struct rb_node *rb_first_postorder(const struct rb_root *root);
struct rb_node *rb_first_postorder(const struct rb_root *root)
{
	return rb_deepest(root->node);
}

struct rb_node *rb_next_postorder(const struct rb_node *node);
struct rb_node *rb_next_postorder(const struct rb_node *node)
{
	struct rb_node *parent = node ? rb_up(node) : NULL;

	return parent && node == parent->left && parent->right ? rb_deepest(parent->right) : parent;
}

void rb_replace_node(struct rb_node *old, struct rb_node *node, struct rb_root *root);
void rb_replace_node(struct rb_node *old, struct rb_node *node, struct rb_root *root)
{
	*node = *old;
	rb_set_up(node->left, node);
	rb_set_up(node->right, node);
	rb_set_child(root, rb_up(old), old, node);
}
