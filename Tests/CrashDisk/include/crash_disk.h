#ifndef SIDEREAL_CRASH_DISK_H
#define SIDEREAL_CRASH_DISK_H
#include <stdint.h>

// A disk in memory, as a VFS of SQLite, that dies at a chosen write. What was not synchronized by then is kept apart, so
// that a power failure may lose any part of it, sector by sector. One thread at a time.
typedef struct crash_disk crash_disk;

enum crash_disk_kind {
    // The process is killed: what it wrote is there, the last write up to some byte.
    CRASH_DISK_KILL = 0,
    // The power fails: of what was not synchronized, any sectors are there, in any combination.
    CRASH_DISK_POWER = 1,
};

// An empty disk, known to SQLite as `name`. Null without memory.
crash_disk *crash_disk_make(const char *name);
void crash_disk_free(crash_disk *disk);

// Makes `disk` hold what is synchronized on `other`.
void crash_disk_copy(crash_disk *disk, const crash_disk *other);

// Dies in the operation with this number, counted from 1 and from now; 0: never. `seed` decides what survives.
void crash_disk_arm(crash_disk *disk, uint64_t operation, int kind, uint64_t seed);

// Writes, truncations, synchronizations and deletions since it was armed.
uint64_t crash_disk_operations(const crash_disk *disk);

// Whether it is dead: everything asked of it fails.
int crash_disk_is_dead(const crash_disk *disk);

// Lives again, with what survived. Nothing may be open. A disk that was not dead dies first, between two operations.
void crash_disk_restart(crash_disk *disk);

// A disk that says it has synchronized and has not.
void crash_disk_lie(crash_disk *disk, int lies);
#endif
