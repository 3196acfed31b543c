/*
 * cdb_format - constant databases: tables that are written once and read with
 * two or three reads of a few octets. All numbers are 32 bits, little-endian:
 *
 *     0     256 times: where a hash table stands, how many slots it has
 *     2048  records: length of key, length of value, key, value
 *     ...   hash tables of slots: hash of the key, where its record stands
 *
 * A key is in the table (hash mod 256), from slot (hash / 256 mod slots) on up
 * to an empty one, whose record stands at 0. Keys and values end without a NUL,
 * unless the file's maker left one; each number is checked before it is used,
 * so that a damaged file gives an error or nothing, never somebody else's value.
 */
#pragma once

#include "lib/base/slice.h"
#include "lib/table/table_type.h"

#include <stdint.h>

enum {
    CDB_TABLES = 256,
    CDB_POINTER = 8, /* octets of two numbers */
    CDB_HEADER = CDB_TABLES * CDB_POINTER,
    CDB_VALUE_MAX = 64 * 1024 * 1024, /* octets: more is taken for damage */
};

static inline uint32_t
cdb_hash(struct slice key)
{
    uint32_t h = 5381;

    for (size_t i = 0; i < key.len; i++)
        h = (h * 33) ^ (unsigned char)key.ptr[i];
    return h;
}

/* How one is written: lib/table/cdb_write.c. */
extern const struct table_write_ops cdb_write_ops;
