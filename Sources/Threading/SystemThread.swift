public import Glibc

/// A plain thread, for work that waits in the kernel: it has no place on the threads that tasks share.
public enum SystemThread {
    private final class Job: Sendable {
        let work: @Sendable () -> Void
        init(_ work: @escaping @Sendable () -> Void) { self.work = work }
    }

    /// Runs `work` on a thread of its own; fails with the error number if the system grants none. The thread must be
    /// joined or detached.
    public static func start(_ work: @escaping @Sendable () -> Void) -> Result<pthread_t, SystemError> {
        let job = unsafe Unmanaged.passRetained(Job(work))
        // The thread inherits its mask: signals are for the rest of the process. SIGPIPE among them, so that writing
        // to a closed connection is an error instead of the end.
        var all = sigset_t()
        var previous = sigset_t()
        unsafe sigfillset(&all)
        unsafe pthread_sigmask(SIG_SETMASK, &all, &previous)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &previous, nil) }
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread, nil,
            { context in
                guard let context = unsafe context else { return nil }
                unsafe Unmanaged<Job>.fromOpaque(context).takeRetainedValue().work()
                return nil
            }, job.toOpaque())
        guard code == 0 else {
            unsafe job.release()
            return .failure(SystemError(code: code))
        }
        return .success(thread)
    }
}
