internal import NIOCore

/// Runs tasks on the event loop of a connection: what arrived is received, and what is to be sent handed over, without
/// another thread being woken for it.
///
/// Tasks that prefer it must end, or prefer it no longer, before the loop is shut down.
final class PeerExecutor: TaskExecutor {
    private let loop: any EventLoop

    init(_ loop: any EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
