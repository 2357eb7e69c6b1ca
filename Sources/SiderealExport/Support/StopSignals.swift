import Dispatch
import Glibc
import Synchronization

/// Signals that ask the process to stop, as a sequence; from its making on they no longer kill it, and none is lost.
///
/// Only the last one made hears of signals. It is to be made before anybody can know that the process runs: until then
/// a signal does what it does by default.
struct StopSignals {
    /// One element per signal: its number. A third and later ones are dropped while two wait.
    let arrivals: AsyncStream<Int32>

    init(_ numbers: [Int32]) {
        let (arrivals, continuation) = AsyncStream.makeStream(of: Int32.self, bufferingPolicy: .bufferingOldest(2))
        self.arrivals = arrivals
        // A handler that writes to a pipe (signal-safety(7)), and not Dispatch's own source of signals: what arrives
        // while that one is being set up is lost, and so is what a thread that blocks nothing takes for itself.
        var ends: [Int32] = [-1, -1]
        let made = unsafe pipe(&ends)
        precondition(made == 0, "a process that just began has no room for a pipe: errno \(errno)")
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        let (reading, writing) = (ends[0], ends[1])
        // Dispatch's sources may be cancelled from anywhere.
        nonisolated(unsafe) let source = DispatchSource.makeReadSource(fileDescriptor: reading, queue: .global())
        unsafe source.setEventHandler {
            var number: UInt8 = 0
            while unsafe read(reading, &number, 1) == 1 { continuation.yield(Int32(number)) }
        }
        unsafe source.activate()
        signalPipe.store(writing, ordering: .releasing)
        for number in numbers { handle(number) }
        // The stream holds the source: of whoever reads it nothing is left once its last use is past.
        continuation.onTermination = { _ in unsafe source.cancel() }
    }

    /// Returns at the first of them, or when the task is cancelled.
    func first() async {
        for await _ in arrivals { return }
    }

    private func handle(_ number: Int32) {
        var action = sigaction()
        unsafe action.__sigaction_handler.sa_handler = { number in
            let before = errno
            var byte = UInt8(truncatingIfNeeded: number)
            _ = unsafe write(signalPipe.load(ordering: .acquiring), &byte, 1)
            errno = before
        }
        action.sa_flags = SA_RESTART
        _ = unsafe sigaction(number, &action, nil)
    }
}

/// Where the handler writes: it can hold nothing of its own.
private let signalPipe = Atomic<Int32>(-1)
