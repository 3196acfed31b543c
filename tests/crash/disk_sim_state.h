/*
 * disk_sim_state - what disk_sim.c (the calls) and disk_sim_cut.c (what is left
 * of it without power) share.
 */
#pragma once

#include "tests/crash/disk_sim.h"

enum { SECTOR = 512, NAME_SIZE = 64, FD_BASE = 1000 };

/* Names and what they mean. */
struct names {
    struct name {
        char name[NAME_SIZE];
        size_t inode;
    } * items;
    size_t count, room;
};

/* One sector that was written and is not durable. */
struct sector_write {
    uint64_t sector;
    uint64_t write;  /* which write it was part of */
    bool lost_flush; /* no flush makes it durable any more */
    unsigned char octets[SECTOR];
};

struct octets {
    unsigned char *ptr;
    uint64_t size; /* of the file */
    uint64_t room;
};

struct inode {
    bool directory;
    bool uncounted;      /* nobody can reach it, but a cut may bring it back */
    size_t links, opens; /* names now, descriptors */
    bool locked;
    struct octets now, durable;
    struct sector_write *writes;
    size_t write_count, write_room;
    struct names names, durable_names;
    uint64_t bad_from, bad_to;
};

/* A change of names that is not durable. */
struct name_change {
    enum { NAME_ADD, NAME_REMOVE, NAME_MOVE } kind;
    size_t dir, to_dir, inode;
    char name[NAME_SIZE], to_name[NAME_SIZE];
};

struct disk_sim {
    struct disk disk; /* first */
    struct inode **inodes;
    size_t inode_count;
    struct {
        size_t inode;
        bool open, locks;
    } * fds;
    size_t fd_count;
    struct name_change *changes;
    size_t change_count, change_room;
    uint64_t capacity, used;
    uint64_t calls, writes;
    struct disk_fault fault;
    void (*after)(void *context);
    void *context;
};

struct disk_sim *disk_sim_empty(uint64_t capacity);
int disk_sim_fd(struct disk_sim *sim, size_t inode);
void octets_extend(struct octets *o, uint64_t size);
struct name *names_find(const struct names *n, const char *name);
void names_add(struct names *n, const char *name, size_t inode);
void inode_free(struct inode *n);

/* Into octets of a file that has limit of them. */
void apply_sector(struct octets *o, const struct sector_write *w,
    uint64_t limit);

/* To the durable names. */
void apply_change(struct disk_sim *sim, const struct name_change *c);
