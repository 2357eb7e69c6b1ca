#pragma once

/// Whether valgrind runs this process.
int callgrind_runs(void);

/// From here on callgrind counts, on every thread.
void callgrind_begin(void);

/// It counts no more.
void callgrind_end(void);
