/*
 * list - intrusive doubly linked lists: a struct list inside each element, and
 * one as head. An element removes itself without knowing its head.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(name)  \
    {                    \
        &(name), &(name) \
    }

/* The struct of the given type whose member is at ptr. */
#define LIST_ENTRY(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define LIST_ENTRY_CONST(ptr, type, member) \
    ((const type *)(const void *)((const char *)(ptr)-offsetof(type, member)))

/* NOLINTBEGIN(bugprone-macro-parentheses): it is a name that is declared. */
#define list_foreach(it, head) \
    for (struct list *it = (head)->next; it != (head); it = it->next)

/* The current element may be removed and freed. */
#define list_foreach_safe(it, head)                                           \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)
/* NOLINTEND(bugprone-macro-parentheses) */

static inline void
list_init(struct list *head)
{
    head->next = head->prev = head;
}

static inline bool
list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void
list_insert_after(struct list *at, struct list *item)
{
    item->prev = at;
    item->next = at->next;
    at->next->prev = item;
    at->next = item;
}

static inline void
list_append(struct list *head, struct list *item)
{
    list_insert_after(head->prev, item);
}

static inline void
list_prepend(struct list *head, struct list *item)
{
    list_insert_after(head, item);
}

/* Afterwards the item is a list of its own: removing it again is harmless. */
static inline void
list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

/* The first element, removed; NULL when the list is empty. */
static inline struct list *
list_take(struct list *head)
{
    struct list *item = head->next;

    if (item == head)
        return NULL;
    list_remove(item);
    return item;
}
