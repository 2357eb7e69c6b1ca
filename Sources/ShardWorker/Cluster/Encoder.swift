import ExportCore
import Ledger
import Model
import Synchronization
import Threading

/// One of the tasks that write records for all targets: an intake with a queue of its own.
///
/// What waits is bounded by the bytes that the leader was told it may send.
final class Encoder: Sendable {
    private enum Work {
        case take(WorkerHands.Delivery)
        case flush(target: Int, Latch)
    }

    private struct State {
        var queue: [Work] = []
        var bytes = 0
        var isStopped = false
        var isDraining = false
    }

    private let intake: Intake
    private let state = Mutex(State())
    private let bell = Doorbell()
    /// Deliveries between looks at the age of open batches.
    private static let perLook = 8

    init(_ intake: Intake) { self.intake = intake }

    /// Bytes that wait.
    var backlog: Int { state.withLock { $0.bytes } }

    func take(_ delivery: WorkerHands.Delivery) {
        state.withLock {
            $0.queue.append(.take(delivery))
            $0.bytes += delivery.bytes.count
        }
        bell.ring()
    }

    /// Has the open batch of a target handed over, once everything that was taken before is in it.
    func flush(target: Int, _ latch: Latch) {
        let isStopped = state.withLock { state in
            if !state.isStopped { state.queue.append(.flush(target: target, latch)) }
            return state.isStopped
        }
        if isStopped { latch.open() }
        bell.ring()
    }

    /// Open batches are not waited for any more.
    func drain() {
        state.withLock { $0.isDraining = true }
        bell.ring()
    }

    func stop() {
        let left = state.withLock { state in
            defer { state.queue = [] }
            state.isStopped = true
            return state.queue
        }
        for case .flush(_, let latch) in left { latch.open() }
        bell.ring()
    }

    /// Works until it is stopped.
    func run() async {
        var count = 0
        while true {
            let (work, isDraining, isStopped) = state.withLock { state in
                (state.queue.isEmpty ? nil : state.queue.removeFirst(), state.isDraining, state.isStopped)
            }
            guard !isStopped else { return }
            switch work {
            case .take(let delivery):
                await intake.take(delivery)
                state.withLock { $0.bytes -= delivery.bytes.count }
                count += 1
                if count % Self.perLook == 0 { await intake.close(force: false) }
            case .flush(let target, let latch):
                await intake.close(target)
                latch.open()
            case nil:
                await intake.close(force: isDraining)
                guard let due = await intake.nextDue else {
                    await bell.wait()
                    continue
                }
                await bell.wait(milliseconds: due.milliseconds(since: SystemClock.now()) + 1)
            }
        }
    }
}

extension Intake {
    /// Writes down what came from the leader.
    func take(_ delivery: WorkerHands.Delivery) async {
        let chunk = Chunk(
            source: WorkerLedger.stream.rawValue, start: delivery.range.lowerBound, end: delivery.range.upperBound,
            bytes: delivery.bytes, isLast: false)
        await take(chunk, for: delivery.targets.map(\.target), skipping: delivery.targets.map(\.skip))
    }
}

/// Opens when so many have said so.
final class Latch: Sendable {
    private struct State {
        var left: Int
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state: Mutex<State>

    init(_ count: Int) { state = Mutex(State(left: count)) }

    /// Says so.
    func open() {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.left -= 1
            guard state.left <= 0 else { return nil }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Returns when all have; by one task.
    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if state.left > 0 { state.waiter = continuation }
                return state.left <= 0
            }
            if isOpen { continuation.resume() }
        }
    }
}
