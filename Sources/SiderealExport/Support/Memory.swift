import CMalloc
import Glibc

/// How the C library treats memory that is given back.
enum Memory {
    /// Keeps the memory of batches for the next ones. By default glibc returns blocks of this size to the kernel, which
    /// then clears every page again: half of the exporter's system time, measured. What is kept stays below what the
    /// targets' queues may hold.
    static func keepFreedBatches() {
        let keep: Int32 = 256 << 20
        _ = mallopt(M_MMAP_THRESHOLD, keep)
        _ = mallopt(M_TRIM_THRESHOLD, keep)
        // A thread takes memory from its own arena, of which there may be eight for each core, and what one keeps is of no use to
        // the others. Large pieces are few and small ones come from each thread's cache, so nobody waits for an arena.
        let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        _ = mallopt(M_ARENA_MAX, Int32(min(max(cores, 2), 8)))
    }
}
