#include "include/crash_disk.h"
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, MAX_FILES = 8, MAX_REGIONS = 64 };

typedef struct { unsigned char *bytes; size_t size, room; } content;

// What was done to a file since it was last synchronized. A truncation has no bytes.
typedef struct change { struct change *next; size_t offset, count; unsigned char bytes[]; } change;

typedef struct {
    char name[256];
    int exists, survives;  // Its name now, and after a power failure at the worst.
    content now, synced;
    change *first, *last;
    void *regions[MAX_REGIONS];
} disk_file;

struct crash_disk {
    sqlite3_vfs vfs;
    char name[64];
    disk_file files[MAX_FILES];
    uint64_t count, fatal, random;
    int kind, dead, lies;
};

typedef struct { sqlite3_file base; crash_disk *disk; disk_file *file; int is_own, syncs_directory; } handle;

static uint64_t next_random(crash_disk *disk) {  // xorshift64* (Marsaglia; Vigna)
    disk->random ^= disk->random >> 12;
    disk->random ^= disk->random << 25;
    disk->random ^= disk->random >> 27;
    return disk->random * 0x2545F4914F6CDD1DULL;
}

static void grow(content *to, size_t size) {
    if (size > to->room) {
        to->room = size * 2 + 4096;
        to->bytes = realloc(to->bytes, to->room);
        if (!to->bytes) abort();
    }
    if (size > to->size) memset(to->bytes + to->size, 0, size - to->size);
    if (size > to->size) to->size = size;
}

static void put(content *to, size_t offset, const unsigned char *bytes, size_t count) {
    if (!count) return;
    grow(to, offset + count);
    memcpy(to->bytes + offset, bytes, count);
}

static void copy(content *to, const content *from) {
    to->size = 0;
    put(to, 0, from->bytes, from->size);
}

static void forget_changes(disk_file *file) {
    while (file->first) {
        change *next = file->first->next;
        free(file->first);
        file->first = next;
    }
    file->last = NULL;
}

static void forget_regions(disk_file *file) {
    for (int index = 0; index < MAX_REGIONS; index++) {
        free(file->regions[index]);
        file->regions[index] = NULL;
    }
}

static void note(disk_file *file, size_t offset, const void *bytes, size_t count) {
    change *made = malloc(sizeof(change) + count);
    if (!made) abort();
    *made = (change){.offset = offset, .count = count};
    if (count) memcpy(made->bytes, bytes, count);
    if (file->last) file->last->next = made; else file->first = made;
    file->last = made;
}

static void write_now(disk_file *file, size_t offset, const void *bytes, size_t count) {
    if (!count) return;
    put(&file->now, offset, bytes, count);
    note(file, offset, bytes, count);
}

static void truncate_now(disk_file *file, size_t size) {
    if (size < file->now.size) file->now.size = size; else grow(&file->now, size);
    note(file, size, NULL, 0);
}

// Counts an operation; true if the disk dies in it.
static int is_fatal(crash_disk *disk) {
    disk->count++;
    if (disk->count == disk->fatal) disk->dead = 1;
    return disk->dead;
}

// Names that were made or deleted are so for good.
static void sync_directory(crash_disk *disk) {
    for (int index = 0; index < MAX_FILES; index++) {
        disk_file *file = &disk->files[index];
        file->survives = file->exists;
        if (file->exists) continue;
        forget_changes(file);
        file->now.size = file->synced.size = 0;
    }
}

static int file_close(sqlite3_file *opened) {
    handle *h = (handle *)opened;
    if (h->is_own) {
        forget_changes(h->file);
        free(h->file->now.bytes);
        free(h->file);
    }
    return SQLITE_OK;
}

static int file_read(sqlite3_file *opened, void *to, int count, sqlite3_int64 offset) {
    handle *h = (handle *)opened;
    if (h->disk->dead) return SQLITE_IOERR_READ;
    size_t size = h->file->now.size, start = (size_t)offset, got = 0;
    if (start < size) got = size - start < (size_t)count ? size - start : (size_t)count;
    if (got) memcpy(to, h->file->now.bytes + start, got);
    if (got == (size_t)count) return SQLITE_OK;
    memset((char *)to + got, 0, (size_t)count - got);
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *opened, const void *bytes, int count, sqlite3_int64 offset) {
    handle *h = (handle *)opened;
    if (h->disk->dead) return SQLITE_IOERR_WRITE;
    size_t done = (size_t)count;
    int fatal = !h->is_own && is_fatal(h->disk);
    if (fatal) done = next_random(h->disk) % ((size_t)count + 1);
    write_now(h->file, (size_t)offset, bytes, done);
    return fatal ? SQLITE_IOERR_WRITE : SQLITE_OK;
}

static int file_truncate(sqlite3_file *opened, sqlite3_int64 size) {
    handle *h = (handle *)opened;
    if (h->disk->dead) return SQLITE_IOERR_TRUNCATE;
    int fatal = !h->is_own && is_fatal(h->disk);
    if (!fatal || next_random(h->disk) % 2) truncate_now(h->file, (size_t)size);
    return fatal ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

static int file_sync(sqlite3_file *opened, int flags) {
    (void)flags;
    handle *h = (handle *)opened;
    if (h->disk->dead) return SQLITE_IOERR_FSYNC;
    if (h->is_own) return SQLITE_OK;
    if (is_fatal(h->disk)) return SQLITE_IOERR_FSYNC;
    if (h->disk->lies) return SQLITE_OK;
    forget_changes(h->file);
    copy(&h->file->synced, &h->file->now);
    if (h->syncs_directory) sync_directory(h->disk);
    h->syncs_directory = 0;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *opened, sqlite3_int64 *size) {
    handle *h = (handle *)opened;
    if (h->disk->dead) return SQLITE_IOERR_FSTAT;
    *size = (sqlite3_int64)h->file->now.size;
    return SQLITE_OK;
}

// One connection at a time: there is nobody to be kept out.
static int file_lock(sqlite3_file *opened, int level) { (void)opened, (void)level; return SQLITE_OK; }
static int file_reserved(sqlite3_file *opened, int *found) { (void)opened; *found = 0; return SQLITE_OK; }
static int file_control(sqlite3_file *opened, int what, void *with) {
    (void)opened, (void)what, (void)with;
    return SQLITE_NOTFOUND;
}
static int file_sector(sqlite3_file *opened) { (void)opened; return SECTOR; }
// What SQLite's own VFS for Unix promises of disks.
static int file_traits(sqlite3_file *opened) { (void)opened; return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

static int shm_map(sqlite3_file *opened, int region, int size, int extend, void volatile **found) {
    handle *h = (handle *)opened;
    *found = NULL;
    if (h->disk->dead || region >= MAX_REGIONS) return SQLITE_IOERR_SHMMAP;
    if (!h->file->regions[region] && extend) h->file->regions[region] = calloc(1, (size_t)size);
    *found = h->file->regions[region];
    return SQLITE_OK;
}
static int shm_lock(sqlite3_file *opened, int at, int count, int flags) {
    (void)opened, (void)at, (void)count, (void)flags;
    return SQLITE_OK;
}
static void shm_barrier(sqlite3_file *opened) { (void)opened; }
static int shm_unmap(sqlite3_file *opened, int drop) {
    (void)drop;
    forget_regions(((handle *)opened)->file);
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, .xClose = file_close, .xRead = file_read, .xWrite = file_write, .xTruncate = file_truncate,
    .xSync = file_sync, .xFileSize = file_size, .xLock = file_lock, .xUnlock = file_lock,
    .xCheckReservedLock = file_reserved, .xFileControl = file_control, .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits, .xShmMap = shm_map, .xShmLock = shm_lock, .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

static disk_file *find(crash_disk *disk, const char *name, int make) {
    disk_file *blank = NULL;
    for (int index = 0; index < MAX_FILES; index++) {
        disk_file *file = &disk->files[index];
        if (!strcmp(file->name, name)) return file;
        if (!file->name[0] && !blank) blank = file;
    }
    if (!make || !blank || strlen(name) >= sizeof blank->name) return NULL;
    strcpy(blank->name, name);
    return blank;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *opened, int flags, int *given) {
    crash_disk *disk = (crash_disk *)vfs->pAppData;
    handle *h = (handle *)opened;
    memset(h, 0, sizeof *h);
    if (disk->dead) return SQLITE_IOERR;
    h->disk = disk;
    h->is_own = !name;
    h->file = name ? find(disk, name, 1) : calloc(1, sizeof(disk_file));
    if (!h->file) return SQLITE_CANTOPEN;
    if (name && !h->file->exists) {
        // A name that was deleted and may still be there is made again as that file, emptied.
        if (h->file->survives) truncate_now(h->file, 0);
        h->file->exists = 1;
    }
    // As SQLite's own VFS for Unix does with the first synchronization of a log that was opened to be made. The
    // database's own name is there for good before SQLite hears of it: the ledger sees to that.
    h->syncs_directory = (flags & SQLITE_OPEN_CREATE) && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL));
    if (flags & SQLITE_OPEN_MAIN_DB) h->file->survives = 1;
    if (given) *given = flags;
    h->base.pMethods = &methods;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync) {
    crash_disk *disk = (crash_disk *)vfs->pAppData;
    if (disk->dead) return SQLITE_IOERR_DELETE;
    disk_file *file = find(disk, name, 0);
    if (!file || !file->exists) return SQLITE_IOERR_DELETE_NOENT;
    if (is_fatal(disk)) return SQLITE_IOERR_DELETE;
    file->exists = 0;
    if (sync) sync_directory(disk);
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *found) {
    crash_disk *disk = (crash_disk *)vfs->pAppData;
    (void)flags;
    if (disk->dead) return SQLITE_IOERR_ACCESS;
    disk_file *file = find(disk, name, 0);
    *found = file && file->exists;
    return SQLITE_OK;
}

static int vfs_path(sqlite3_vfs *vfs, const char *name, int room, char *out) {
    (void)vfs;
    sqlite3_snprintf(room, out, "%s", name);
    return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int count, char *out) {
    for (int index = 0; index < count; index++) out[index] = (char)(next_random((crash_disk *)vfs->pAppData) >> 32);
    return count;
}
static int vfs_sleep(sqlite3_vfs *vfs, int microseconds) { (void)vfs; return microseconds; }
static int vfs_time(sqlite3_vfs *vfs, double *now) { (void)vfs; *now = 2460000.5; return SQLITE_OK; }
static int vfs_error(sqlite3_vfs *vfs, int room, char *out) { (void)vfs, (void)room, (void)out; return 0; }

crash_disk *crash_disk_make(const char *name) {
    crash_disk *disk = calloc(1, sizeof *disk);
    if (!disk) return NULL;
    sqlite3_snprintf(sizeof disk->name, disk->name, "%s", name);
    disk->random = 88172645463325252ULL;
    disk->vfs = (sqlite3_vfs){
        .iVersion = 1, .szOsFile = sizeof(handle), .mxPathname = 255, .zName = disk->name, .pAppData = disk,
        .xOpen = vfs_open, .xDelete = vfs_delete, .xAccess = vfs_access, .xFullPathname = vfs_path,
        .xRandomness = vfs_random, .xSleep = vfs_sleep, .xCurrentTime = vfs_time, .xGetLastError = vfs_error,
    };
    sqlite3_vfs_register(&disk->vfs, 0);
    return disk;
}

static void erase(crash_disk *disk) {
    for (int index = 0; index < MAX_FILES; index++) {
        disk_file *file = &disk->files[index];
        forget_changes(file);
        forget_regions(file);
        file->now.size = file->synced.size = 0;
        file->exists = file->survives = 0;
        file->name[0] = 0;
    }
}

void crash_disk_free(crash_disk *disk) {
    sqlite3_vfs_unregister(&disk->vfs);
    erase(disk);
    for (int index = 0; index < MAX_FILES; index++) {
        free(disk->files[index].now.bytes);
        free(disk->files[index].synced.bytes);
    }
    free(disk);
}

void crash_disk_copy(crash_disk *disk, const crash_disk *other) {
    erase(disk);
    disk->dead = 0;
    for (int index = 0; index < MAX_FILES; index++) {
        const disk_file *from = &other->files[index];
        if (!from->exists || !from->survives) continue;
        disk_file *to = find(disk, from->name, 1);
        copy(&to->synced, &from->synced);
        copy(&to->now, &from->synced);
        to->exists = to->survives = 1;
    }
}

void crash_disk_arm(crash_disk *disk, uint64_t operation, int kind, uint64_t seed) {
    disk->count = 0;
    disk->fatal = operation;
    disk->kind = kind;
    disk->random = (seed + 1) * 0x9E3779B97F4A7C15ULL | 1;
}

uint64_t crash_disk_operations(const crash_disk *disk) { return disk->count; }
int crash_disk_is_dead(const crash_disk *disk) { return disk->dead; }
void crash_disk_lie(crash_disk *disk, int lies) { disk->lies = lies; }

// Applies what of the changes the platter got: all, nothing, whole changes, or sectors of them.
static void survive(crash_disk *disk, disk_file *file) {
    int policy = (int)(next_random(disk) % 4);
    copy(&file->now, &file->synced);
    for (change *each = file->first; each; each = each->next) {
        if (policy == 1 || (policy == 2 && next_random(disk) % 2)) continue;
        if (!each->count) {
            if (policy == 3 && next_random(disk) % 2) continue;
            if (each->offset < file->now.size) file->now.size = each->offset; else grow(&file->now, each->offset);
            continue;
        }
        size_t at = 0;
        while (at < each->count) {
            size_t end = ((each->offset + at) / SECTOR + 1) * SECTOR - each->offset;
            if (end > each->count) end = each->count;
            if (policy != 3 || next_random(disk) % 2) put(&file->now, each->offset + at, each->bytes + at, end - at);
            at = end;
        }
    }
    if (file->exists != file->survives) file->exists = (int)(next_random(disk) % 2);
}

void crash_disk_restart(crash_disk *disk) {
    for (int index = 0; index < MAX_FILES; index++) {
        disk_file *file = &disk->files[index];
        forget_regions(file);
        if (!file->name[0]) continue;
        if (disk->kind == CRASH_DISK_POWER) survive(disk, file);
        if (!file->exists) file->now.size = 0;
        forget_changes(file);
        copy(&file->synced, &file->now);
        file->survives = file->exists;
    }
    disk->dead = 0;
    disk->fatal = 0;
}
