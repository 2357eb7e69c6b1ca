#ifndef SIDEREAL_CSQLITE_SHIM_H
#define SIDEREAL_CSQLITE_SHIM_H
#include <sqlite3.h>

// SQLITE_TRANSIENT is a cast of -1 to a function pointer, which does not import. These two bind a copy.
static inline int sidereal_sqlite3_bind_text(sqlite3_stmt *statement, int index, const char *text, int length) {
    return sqlite3_bind_text(statement, index, text, length, SQLITE_TRANSIENT);
}

static inline int sidereal_sqlite3_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, int length) {
    return sqlite3_bind_blob(statement, index, bytes, length, SQLITE_TRANSIENT);
}

// Turns off SQLite's count of the memory that it has, which stands behind one mutex for all threads, taken twice for each
// allocation. Nobody reads it here, and SQLite's manual recommends to go without (sqlite.org/compile.html,
// SQLITE_DEFAULT_MEMSTATUS). Of no effect once SQLite has been initialized.
static inline int sidereal_sqlite3_without_memory_count(void) { return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); }
#endif
