import ExportCore
import Model

/// A delivery with a clock and randomness of its own, driven one event at a time.
final class DeliveryBench {
    private(set) var delivery: Delivery
    var now = Tick(nanoseconds: 0)
    private var rng: PRNG

    init(
        initial: UInt64 = 1_000, max: UInt64 = 60_000, window: UInt64 = 3_600_000, concurrency: Int = 1,
        floor: Int? = nil, seed: UInt64 = 1
    ) {
        let settings = RetrySettings(
            initialMilliseconds: initial, maxMilliseconds: max, windowMilliseconds: window)
        delivery = Delivery(
            policy: RetryPolicy(settings), permits: concurrency, minConcurrency: floor ?? concurrency)
        rng = PRNG(seed: seed)
    }

    func handle(_ event: Delivery.Event) -> [Delivery.Effect] {
        delivery.handle(event, now: now, rng: &rng)
    }

    func submit(_ number: UInt64, items: Int) -> [Delivery.Effect] {
        handle(.submit(BatchID(number), items: items))
    }

    func answer(_ number: UInt64, _ verdict: Verdict, milliseconds: UInt64 = 1) -> [Delivery.Effect] {
        handle(.answered(BatchID(number), verdict, nanoseconds: milliseconds * 1_000_000))
    }

    /// Lets the time pass until the machine wants to be called; what it then does. Empty if nothing waits for time.
    func wait() -> [Delivery.Effect] {
        guard let due = delivery.nextTick else { return [] }
        now = Swift.max(now, due)
        return handle(.tick)
    }

    /// Milliseconds until the machine wants to be called; nil if nothing waits for time.
    var pause: UInt64? { delivery.nextTick?.milliseconds(since: now) }
}

func send(_ number: UInt64, _ items: Range<Int>...) -> Delivery.Effect { .send(BatchID(number), items: items) }

func failed(_ number: UInt64, _ kind: Delivery.FailureClass, _ reason: Reason = why) -> Delivery.Effect {
    .failed(BatchID(number), kind, reason)
}

func commit(_ number: UInt64, dead: [Delivery.DeadItem] = []) -> Delivery.Effect {
    .commit(BatchID(number), dead: dead)
}

let why = Reason(code: "why", message: "because")
let delivered = Verdict.delivered(slowDown: false)

extension [Delivery.Effect] {
    /// The records that these effects bury, with the requests that carried each.
    var buried: [Int: Int] {
        var found: [Int: Int] = [:]
        for case .commit(_, let dead) in self {
            for item in dead { found[item.item] = item.attempts }
        }
        return found
    }
}
