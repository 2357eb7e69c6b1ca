import Glibc

/// A POSIX semaphore (sem_overview(7)) at an address that does not change: how a queue wakes its thread.
@safe public final class WakeUp: Sendable {
    // Set before the object is shared and never again; sem_post and sem_wait are made for concurrent use.
    nonisolated(unsafe) private let handle: UnsafeMutablePointer<sem_t>

    /// Nobody has signalled.
    public init() {
        unsafe handle = .allocate(capacity: 1)
        unsafe sem_init(handle, 0, 0)
    }

    deinit {
        unsafe sem_destroy(handle)
        unsafe handle.deallocate()
    }

    /// Lets one ``wait()`` return, now or later.
    public func signal() { unsafe sem_post(handle) }

    /// Blocks the thread until somebody has signalled. A signal handler only makes it wait again.
    public func wait() {
        while unsafe sem_wait(handle) != 0, errno == EINTR {}
    }
}
