import ExportCore
import Model
import Protocol
import Synchronization
import Threading

/// The worker's machine with the lock around it: what happens is told here from any thread, and what is then to be done
/// waits, in order, for the one task that does it. Only records go to the encoders at once, past what waits: it speaks of
/// earlier records, and a frame is not to cost a wake-up more.
///
/// Lanes ask and tell without waiting, since settling, withdrawing and the shards' release must have one order.
final class WorkerDesk: LaneListener {
    private struct State {
        var core: WorkerCore
        var rng: PRNG
        var effects: [WorkerCore.Effect] = []
        /// Until when the one who does it waits at most.
        var due: Tick?
        var intake: (@Sendable (WorkerHands.Delivery) -> Void)?

        /// Takes an event. True if there is something to do for it, or to be waited for sooner.
        mutating func handle(_ event: WorkerCore.Event) -> Bool {
            for effect in core.handle(event, now: SystemClock.now(), rng: &rng) {
                if case .intake(let delivery) = effect, let intake {
                    intake(delivery)
                } else {
                    effects.append(effect)
                }
            }
            guard effects.isEmpty, let next = core.nextDeadline else { return !effects.isEmpty }
            return due.map { next < $0 } ?? true
        }
    }

    private let state: Mutex<State>
    private let bell = Doorbell()
    /// Nanoseconds at which requests may no longer begin; 0 if none may.
    private let leaseEnd = Atomic<UInt64>(0)

    /// How long a shard may take to be released, as the leader has it.
    let releaseMilliseconds = Atomic<UInt32>(5_000)

    init(_ core: WorkerCore, seed: UInt64) { state = Mutex(State(core: core, rng: PRNG(seed: seed))) }

    /// Who takes records, from now on.
    func deliver(to intake: @escaping @Sendable (WorkerHands.Delivery) -> Void) {
        state.withLock { $0.intake = intake }
    }

    func handle(_ event: WorkerCore.Event) {
        if step(event) { bell.ring() }
    }

    private func step(_ event: WorkerCore.Event) -> Bool {
        state.withLock { state in
            let isWanted = state.handle(event)
            leaseEnd.store(state.core.leaseEnd?.nanoseconds ?? 0, ordering: .releasing)
            return isWanted
        }
    }

    /// What is to be done next, and when time itself is the next event.
    func take() -> (effects: [WorkerCore.Effect], due: Tick?) {
        state.withLock { state in
            defer { state.effects = [] }
            state.due = state.core.nextDeadline
            return (state.effects, state.due)
        }
    }

    /// Returns when there may be something to do, soon after `due` at the latest.
    func wait(until due: Tick?) async {
        let now = SystemClock.now()
        if let due, due <= now {
            // Time has passed; by the one who waits, so nobody is woken.
            if step(.timer) { return }
            // Never a loop without a pause, whatever the machine says of its next step.
            return await bell.wait(milliseconds: Self.leastMilliseconds)
        }
        let left = due.map { $0.milliseconds(since: now) + 1 } ?? Self.mostMilliseconds
        await bell.wait(milliseconds: min(left, Self.mostMilliseconds))
    }

    private static let leastMilliseconds: UInt64 = 5
    private static let mostMilliseconds: UInt64 = 1_000

    /// Answers about the machine as it is.
    func look<R: Sendable>(_ body: (WorkerCore) -> R) -> R { state.withLock { body($0.core) } }

    /// ``WorkerCore/settle(target:_:dead:)``, and by which keys records are known before that.
    func settle(
        target: Int, _ ranges: [Range<UInt64>], dead: [WorkerHands.DeadRecord]
    ) -> [WorkerHands.Row] {
        state.withLock { $0.core.settle(target: target, ranges, dead: dead) }
    }

    func refuse(_ dead: [WorkerHands.DeadRecord]) -> [WorkerHands.Row] { state.withLock { $0.core.refuse(dead) } }

    func revive(target: Int, _ keys: [RecordKey]) -> [WorkerHands.Row] {
        state.withLock { $0.core.revive(target: target, keys) }
    }

    // MARK: LaneListener

    func mayStart(target: Int, at now: Tick, _ stretches: () -> [BatchInFlight.Stretch]) -> Bool {
        guard now.nanoseconds < leaseEnd.load(ordering: .acquiring) else { return false }
        guard look({ $0.hands.hasUnconfirmed }) else { return true }
        let places = stretches().map(\.range)
        return look { $0.mayStart(target: target, places, at: now) }
    }

    func withdrawn(target: Int, _ stretches: [BatchInFlight.Stretch]) {
        handle(.withdrawn(target: target, stretches.map(\.range)))
    }

    func failed(target: Int, _ stretches: [BatchInFlight.Stretch], _ reason: Reason) {
        handle(.failed(target: target, stretches.map(\.range), reason: "\(reason)"))
    }
}
