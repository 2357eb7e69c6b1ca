#ifndef SIDEREAL_CSQLITE_SHIM_H
#define SIDEREAL_CSQLITE_SHIM_H
#include <sqlite3.h>
#endif
