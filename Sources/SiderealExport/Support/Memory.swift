import CMalloc

/// How the C library treats memory that is given back.
enum Memory {
    /// Keeps the memory of batches for the next ones. By default glibc returns blocks of this size to the kernel, which
    /// then clears every page again: half of the exporter's system time, measured. What is kept stays below what the
    /// targets' queues may hold.
    static func keepFreedBatches() {
        let keep: Int32 = 256 << 20
        _ = mallopt(M_MMAP_THRESHOLD, keep)
        _ = mallopt(M_TRIM_THRESHOLD, keep)
    }
}
