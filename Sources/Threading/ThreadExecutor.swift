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
        switch SystemThread.start({ self.run() }) {
        case .success(let thread): pthread_detach(thread)
        case .failure(let error): preconditionFailure("no thread to be had: \(error); raise the limit of threads")
        }
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
