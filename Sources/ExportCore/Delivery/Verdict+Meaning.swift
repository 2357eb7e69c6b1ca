/// What became of one attempt, for counting: a closed set.
public enum Outcome: String, Sendable, CaseIterable {
    /// All records were taken.
    case delivered
    /// All records were taken, and the receiver asked for a pause.
    case slowDown = "slow_down"
    /// Each record has an answer of its own, and not all were taken.
    case partial
    /// Records were refused for good.
    case poison
    /// The request was too large.
    case tooLarge = "too_large"
    /// Nothing was taken for now.
    case retry
    /// Nothing was taken, nor will be before somebody mends the settings.
    case configuration
    /// Nobody knows.
    case unknown
}

extension Verdict {
    /// The class an attempt with this verdict is counted in.
    public var outcome: Outcome {
        switch self {
        case .delivered(let slowDown): slowDown ? .slowDown : .delivered
        case .items(let verdicts, _): verdicts.allSatisfy(\.isDelivered) ? .delivered : .partial
        case .poisonAt, .poison: .poison
        case .tooLarge: .tooLarge
        case .retry: .retry
        case .configuration: .configuration
        case .unknown: .unknown
        }
    }

    /// Whether something was accepted, as the answer to a request of `records`.
    public func accepts(of records: Int) -> Bool {
        switch self {
        case .delivered: true
        case .items(let verdicts, _): verdicts.count == records && verdicts.contains(where: \.isDelivered)
        case .poisonAt(let delivered, _): delivered > 0 && delivered < records
        case .poison, .tooLarge, .retry, .configuration, .unknown: false
        }
    }

    /// What it says of the receiver's load, as the answer to a request of `records`.
    func sign(records: Int) -> ConcurrencyController.Sign {
        switch self {
        case .delivered(let slowDown): return slowDown ? .overloaded : .good
        case .items(let verdicts, _):
            guard verdicts.count == records else { return .neutral }
            var sign = ConcurrencyController.Sign.neutral
            for verdict in verdicts {
                if case .retry = verdict { return .overloaded }
                if verdict.isDelivered { sign = .good }
            }
            return sign
        case .poisonAt, .poison, .tooLarge, .configuration: return .neutral
        case .retry, .unknown: return .overloaded
        }
    }
}

extension ItemVerdict {
    fileprivate var isDelivered: Bool {
        if case .delivered = self { true } else { false }
    }
}
