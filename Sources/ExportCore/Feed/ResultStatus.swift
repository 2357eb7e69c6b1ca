/// How a result stands at the targets of today, and what `spec.audit.exportStatus` says of it.
public struct ResultStatus: Sendable, Equatable {
    /// Values of `spec.audit.exportStatus`, in the only order in which one may follow the other.
    public enum State: UInt8, Sendable, Comparable {
        /// Nothing has failed, and not every target has it.
        case pending
        /// An attempt failed, or it was given up somewhere.
        case failed
        /// Every target has accepted it. Final.
        case exported

        /// Whether `later` may follow `earlier`.
        public static func < (earlier: State, later: State) -> Bool { earlier.rawValue < later.rawValue }
    }

    /// What became of a result at targets. One target is in at most one of the three.
    public struct Word: Sendable, Equatable {
        /// They accepted it.
        public var delivered = TargetMask(bits: 0)
        /// It was given up.
        public var dead = TargetMask(bits: 0)
        /// An attempt failed; attempts go on.
        public var failed = TargetMask(bits: 0)

        /// Nothing became of it.
        public init() {}

        /// Targets at which it is settled.
        public var settled: TargetMask { TargetMask(bits: delivered.bits | dead.bits) }

        /// The same with what is told besides: accepted outweighs given up, and that an attempt that failed. All three may be
        /// true, one after the other.
        public func adding(_ other: Word) -> Word {
            var sum = Word()
            sum.delivered.bits = delivered.bits | other.delivered.bits
            sum.dead.bits = (dead.bits | other.dead.bits) & ~sum.delivered.bits
            sum.failed.bits = (failed.bits | other.failed.bits) & ~sum.settled.bits
            return sum
        }
    }

    /// At each target.
    public var word: Word
    /// For people and for whoever selects by it.
    public var state: State

    /// Both parts.
    public init(word: Word = Word(), state: State = .pending) {
        self.word = word
        self.state = state
    }

    /// How it stands once `news` are told: the newest truth, never a step back. What is exported stays as it is.
    ///
    /// - Parameter targets: those of today. What became of it elsewhere does not matter.
    public func told(_ news: Word, targets: TargetMask) -> ResultStatus {
        guard state != .exported else { return self }
        var next = self
        next.word = word.adding(news)
        if next.word.delivered.bits & targets.bits == targets.bits, !targets.isEmpty {
            next.state = .exported
        } else if (next.word.dead.bits | next.word.failed.bits) & targets.bits != 0 {
            next.state = .failed
        }
        return next
    }

    /// Whether the state says what follows from the rest.
    public func isConsistent(targets: TargetMask) -> Bool { told(Word(), targets: targets) == self }
}
