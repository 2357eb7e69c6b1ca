import Dispatch
import Glibc

/// Signals that ask the process to stop, as a sequence; they no longer kill it.
final class StopSignals {
    /// One element per signal: its number. A third and later ones are dropped while two wait.
    let arrivals: AsyncStream<Int32>
    private let sources: [any DispatchSourceSignal]

    init(_ numbers: [Int32]) {
        let (arrivals, continuation) = AsyncStream.makeStream(of: Int32.self, bufferingPolicy: .bufferingOldest(2))
        self.arrivals = arrivals
        sources = numbers.map { number in
            _ = signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { continuation.yield(number) }
            source.activate()
            return source
        }
    }

    deinit {
        for source in sources { source.cancel() }
    }

    /// Returns at the first of them, or when the task is cancelled.
    func first() async {
        for await _ in arrivals { return }
    }
}
