import ExportCore
import Model

/// A receiver with moods: it answers with every verdict there is, honestly about what it stored, or loses its answer.
struct FakeReceiver {
    /// What is peculiar about a record.
    enum Nature {
        case good
        /// Refused for good.
        case poison
        /// Too large for any request.
        case huge
    }

    /// Which faults it has.
    enum Faults {
        /// All of them.
        case all
        /// Only such that leave nothing stored without saying so.
        case honest
        /// None: it takes what can be taken.
        case none
    }

    var natures: [Nature]
    var faults: Faults
    /// How often each record was stored.
    private(set) var stored: [Int]
    /// More records in one request are too large.
    private let maxRecords: Int
    /// Requests that an outage goes on refusing.
    private var outage: UInt64 = 0

    init(records: Int, faults: Faults, rng: inout PRNG) {
        natures = (0..<records).map { _ in
            switch rng.below(20) {
            case 0: .poison
            case 1: .huge
            default: .good
            }
        }
        self.faults = faults
        stored = Array(repeating: 0, count: records)
        maxRecords = 2 + Int(rng.below(20))
    }

    /// Takes a request with these records.
    mutating func take(_ records: [Int], rng: inout PRNG) -> Verdict {
        if faults != .none, let trouble = trouble(records, &rng) { return trouble }
        if records.count > maxRecords || records.contains(where: { natures[$0] == .huge }) {
            return .tooLarge(Reason(code: "too-large", message: "too large"))
        }
        switch rng.below(3) {
        case 0: return items(records, &rng)
        case 1: return inOrder(records, &rng)
        default:
            if records.contains(where: { natures[$0] == .poison }) { return .poison(Self.poison) }
            for record in records { stored[record] += 1 }
            return .delivered(slowDown: faults != .none && rng.below(4) == 0)
        }
    }

    private static let poison = Reason(code: "poison", message: "refused for good")

    /// As Elasticsearch does: each record by itself.
    private mutating func items(_ records: [Int], _ rng: inout PRNG) -> Verdict {
        let verdicts = records.map { record -> ItemVerdict in
            if natures[record] == .poison { return .poison(Self.poison) }
            if faults != .none, rng.below(4) == 0 { return .retry(Reason(code: "429", message: "busy")) }
            if faults != .none, rng.below(40) == 0 { return .configuration(Reason(code: "404", message: "no index")) }
            stored[record] += 1
            return .delivered
        }
        return .items(verdicts, retryAfterMilliseconds: rng.below(3) == 0 ? rng.below(30_000) : nil)
    }

    /// As Splunk does: up to the first bad one.
    private mutating func inOrder(_ records: [Int], _ rng: inout PRNG) -> Verdict {
        for (place, record) in records.enumerated() {
            if natures[record] == .poison { return .poisonAt(delivered: place, Self.poison) }
            stored[record] += 1
        }
        return .delivered(slowDown: faults != .none && rng.below(4) == 0)
    }

    private mutating func trouble(_ records: [Int], _ rng: inout PRNG) -> Verdict? {
        if outage > 0 {
            outage -= 1
            return .retry(Reason(code: "connect", message: "nobody there"), retryAfterMilliseconds: nil)
        }
        if rng.below(40) == 0 { outage = rng.below(40) }
        switch rng.below(12) {
        case 0:
            return .retry(
                Reason(code: "503", message: "busy"),
                retryAfterMilliseconds: rng.below(2) == 0 ? rng.below(90_000) : nil)
        case 1: return .configuration(Reason(code: "401", message: "token"))
        case 2:
            // A reset, or an answer that was lost after some or all of the records were stored.
            if faults == .all {
                let kept = rng.below(2) == 0 ? records.count : Int(rng.below(UInt64(records.count + 1)))
                for record in records.prefix(kept) { stored[record] += 1 }
            }
            return .unknown(Reason(code: "lost", message: "no answer"))
        case 3 where faults == .all:
            // Nonsense: an item too few or too many.
            let count = records.count + (rng.below(2) == 0 ? 1 : -1)
            return .items(Array(repeating: .delivered, count: count), retryAfterMilliseconds: nil)
        case 4 where faults == .all:
            return .poisonAt(delivered: records.count + Int(rng.below(3)), Self.poison)
        default: return nil
        }
    }
}
