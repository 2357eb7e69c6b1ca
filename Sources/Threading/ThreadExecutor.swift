import Glibc
import Synchronization

/// Runs an actor's jobs on one thread of its own, for actors whose work blocks: reading files, writing, fsync.
///
/// The cooperative pool has one thread per core; a blocking call there stops everything else. Jobs queue without a
/// bound of their own: there is one per suspended caller.
///
/// The thread ends after ``stop()``; until then it keeps the executor alive.
@safe public final class ThreadExecutor: SerialExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        var isStopped = false
    }

    private let state = Mutex(State())
    private let wake = WakeUp()

    /// Starts the thread; without one nothing can work, so a refusal ends the process.
    public init() {
        var number = pthread_t()
        let code = unsafe pthread_create(
            &number, nil,
            { raw in
                guard let raw = unsafe raw else { return nil }
                unsafe Unmanaged<ThreadExecutor>.fromOpaque(raw).takeRetainedValue().run()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        precondition(code == 0, "the system refuses another thread (error \(code)); raise the limit of threads")
        pthread_detach(number)
    }

    /// Queues a job for the thread.
    public func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        state.withLock { $0.jobs.append(unowned) }
        wake.signal()
    }

    /// Ends the thread once the jobs queued so far have run. Nothing may be enqueued after.
    public func stop() {
        state.withLock { $0.isStopped = true }
        wake.signal()
    }

    private func run() {
        while true {
            wake.wait()
            let (jobs, isStopped) = state.withLock { state in
                let taken = state.jobs
                state.jobs.removeAll()
                return (taken, state.isStopped)
            }
            for job in jobs { unsafe job.runSynchronously(on: asUnownedSerialExecutor()) }
            if isStopped, jobs.isEmpty { return }
        }
    }
}

/// A POSIX semaphore (sem_overview(7)), at an address that does not change.
@safe final class WakeUp: Sendable {
    // Set before the object is shared and never again; sem_post and sem_wait are made for concurrent use.
    nonisolated(unsafe) private let handle: UnsafeMutablePointer<sem_t>

    init() {
        unsafe handle = .allocate(capacity: 1)
        unsafe sem_init(handle, 0, 0)
    }

    deinit {
        unsafe sem_destroy(handle)
        unsafe handle.deallocate()
    }

    func signal() { unsafe sem_post(handle) }

    func wait() {
        while unsafe sem_wait(handle) != 0, errno == EINTR {}
    }
}
